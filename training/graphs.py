"""Exact graphs of a trained flow: raw rows in, density in the user's own units out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from exported.kinds import GRADIENT_GRAPH, REFERENCE_GRAPH
from training.bases import BaseDensity
from training.bijections import Bijection, Chain, Standardise
from training.bijections.continuous import is_continuous, stepped
from training.columns import Columns
from training.flow import Flow, folded
from training.gradient import gradient_spec, has_gradient
from training.graph_ends import EXAMPLE_ROWS, FromRows, ToRows, example_rows, in_input_type
from training.onnx_export import GraphSpec
from training.prepared import Prepared
from training.terms import FeatureLogProbGraph

# Steps of the example; exported graphs take any number.
EXAMPLE_STEPS = 8


class ContextInput(nn.Module):
    """Raw context ``(batch, columns)`` to what the layers see, ``(batch, context_features)``."""

    modelled: Tensor

    def __init__(self, columns: Columns, preprocessing: Chain, dtype: torch.dtype) -> None:
        super().__init__()
        self.units, self.layers = separated(preprocessing)
        self.units, self.dtype = in_input_type(self.units, columns, dtype), dtype
        self.layers = folded(self.layers).to(dtype)
        self.register_buffer("modelled", torch.tensor(columns.modelled_index))

    def forward(self, context: Tensor) -> Tensor:
        """See the class."""
        modelled = torch.index_select(context, 1, self.modelled)
        scaled, _ = self.units.encode(modelled.to(self.units.scale.dtype))
        return self.layers.encode(scaled.to(self.dtype))[0]


class LogProbGraph(nn.Module):
    """Raw rows ``(batch, columns)`` to ``log_prob``, ``z`` and ``log_det``."""

    def __init__(
        self, rows: FromRows, layers: Chain, base: BaseDensity, context: ContextInput | None
    ) -> None:
        super().__init__()
        self.rows, self.layers, self.base, self.context = rows, layers, base, context

    def forward(
        self, x: Tensor, context: Tensor | None = None, steps: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        scaled, units_log_det = self.rows(x)
        z, log_det = _at(self.layers, steps).encode(scaled, _conditions(self.context, context))
        log_det = log_det + units_log_det
        return self.base.log_prob(z) + log_det, z, log_det


class DecodeGraph(nn.Module):
    """Latent rows ``(batch, features)`` to raw rows ``x`` and ``log_det``."""

    def __init__(self, rows: ToRows, layers: Chain, context: ContextInput | None) -> None:
        super().__init__()
        self.rows, self.layers, self.context = rows, layers, context

    def forward(
        self, z: Tensor, context: Tensor | None = None, steps: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        scaled, log_det = _at(self.layers, steps).decode(z, _conditions(self.context, context))
        x, units_log_det = self.rows(scaled)
        return x, log_det + units_log_det


@dataclass(frozen=True, slots=True)
class Parts:
    """What the graphs of one flow have in common.

    Attributes:
        columns: Of the table.
        units: From the user's units, in a type that holds the raw rows.
        layers: The rest of the map, folded.
        base: Of the latents.
        context: From the raw context to what the layers see; None without.
        example: Of the raw context; none without.
        dtype: Of layers and base.
    """

    columns: Columns
    units: Standardise
    layers: Chain
    base: BaseDensity
    context: ContextInput | None
    example: tuple[Tensor, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, density: Flow, prepared: Prepared, dtype: torch.dtype) -> Parts:
        """Those of a whole float64 flow on a table, to be computed in a type."""
        units, layers = separated(density.bijection)
        given, to_layers = prepared.context, prepared.context_preprocessing
        context = ContextInput(given, to_layers, dtype) if given.all else None
        return cls(
            columns=prepared.columns,
            units=in_input_type(units, prepared.columns, dtype),
            layers=folded(layers).to(dtype),
            base=copy.deepcopy(density.base).folded().to(dtype),
            context=context,
            example=(example_rows(given),) if context else (),
            dtype=dtype,
        )

    def spec(
        self, module: nn.Module, first: tuple[str, Tensor], outputs: tuple[str, ...], passes: int
    ) -> GraphSpec:
        """A graph of the input that is named first, and of the context and steps there are."""
        name, example = first
        return GraphSpec(
            module=module,
            examples=(example, *self.example),
            inputs=(name, "context") if self.context else (name,),
            outputs=outputs,
            passes=passes,
            options={"steps": torch.tensor(EXAMPLE_STEPS)} if is_continuous(self.layers) else {},
            wide=self.dtype == torch.float64,
            company=self.dtype == torch.float32 and _is_cheap(module),
        )

    def log_prob(self) -> GraphSpec:
        """The graph from rows to their density."""
        rows = FromRows(self.columns, self.units, self.dtype)
        module = LogProbGraph(rows, self.layers, self.base, self.context)
        outputs = "log_prob", "z", "log_det"
        x = "x", example_rows(self.columns)
        return self.spec(module, x, outputs, self.layers.passes()[0])


def table_graphs(
    density: Flow, prepared: Prepared, *, gradient: bool = False
) -> dict[str, GraphSpec]:
    """The graphs of a flow on table rows.

    Args:
        density: The whole float64 flow of :func:`training.evaluate.full_flow`.
        prepared: Its data; decides the inputs' types and where constants stand.
        gradient: Whether that of the log-density is wanted too, where it can be had.
    """
    parts = Parts.of(density, prepared, torch.float32)
    columns, units, layers = parts.columns, parts.units, parts.layers
    encode_passes, decode_passes = layers.passes()
    z = "z", torch.zeros(EXAMPLE_ROWS, len(columns.modelled))
    decode = DecodeGraph(ToRows(columns, units), layers, parts.context)
    graphs = {
        "log_prob": parts.log_prob(),
        "decode": parts.spec(decode, z, ("x", "log_det"), decode_passes),
        REFERENCE_GRAPH: Parts.of(density, prepared, torch.float64).log_prob(),
    }
    if density.has_terms():
        x = "x", example_rows(columns)
        terms = FeatureLogProbGraph(columns, units, layers, parts.base, parts.context)
        graphs["feature_log_prob"] = parts.spec(terms, x, ("feature_log_prob",), encode_passes)
    if gradient and has_gradient(density):
        graphs[GRADIENT_GRAPH] = gradient_spec(parts.log_prob(), columns)
    return graphs


def _is_cheap(module: nn.Module) -> bool:
    """Whether a few more rows cost little, as they do not in convolutions."""
    return not any(isinstance(part, nn.Conv2d) for part in module.modules())


def _conditions(module: ContextInput | None, context: Tensor | None) -> Tensor | None:
    return None if module is None or context is None else cast("Tensor", module(context))


def _at(layers: Chain, steps: Tensor | None) -> Chain:
    return layers if steps is None else stepped(layers, steps)


def separated(chain: Chain) -> tuple[Standardise, Chain]:
    """The first map, in the user's unit, and the rest."""
    first, *rest = cast("Sequence[Bijection]", list(chain.bijections))
    if not isinstance(first, Standardise):
        raise TypeError(
            f"expected the chain to begin with Standardise, got {type(first).__name__}"
        )
    return first, Chain(rest)
