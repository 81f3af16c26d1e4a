"""Exact graphs of a trained flow: raw rows in, density in the user's own units out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.bases import BaseDensity
from training.bijections import Bijection, Chain, Standardise
from training.bijections.continuous import is_continuous, stepped
from training.columns import Columns
from training.flow import Flow, folded
from training.onnx_export import GraphSpec
from training.prepared import Prepared
from training.terms import FeatureLogProbGraph

# Rows of the example that is traced; any number above one leaves the batch axis free.
EXAMPLE_ROWS = 3
# Steps of the example; exported graphs take any number.
EXAMPLE_STEPS = 8


class ContextInput(nn.Module):
    """Raw context ``(batch, columns)`` to what the layers see, ``(batch, context_features)``."""

    modelled: Tensor

    def __init__(self, columns: Columns, preprocessing: Chain) -> None:
        super().__init__()
        self.units, self.layers = separated(preprocessing)
        self.units = in_input_type(self.units, columns)
        self.layers = folded(self.layers).float()
        self.register_buffer("modelled", torch.tensor(columns.modelled_index))

    def forward(self, context: Tensor) -> Tensor:
        """See the class."""
        scaled, _ = self.units.encode(torch.index_select(context, 1, self.modelled))
        return self.layers.encode(scaled.float())[0]


class LogProbGraph(nn.Module):
    """Raw rows ``(batch, columns)`` to ``log_prob``, ``z`` and ``log_det``."""

    modelled: Tensor

    def __init__(
        self,
        columns: Columns,
        units: Standardise,
        layers: Chain,
        base: BaseDensity,
        context: ContextInput | None,
    ) -> None:
        super().__init__()
        self.units, self.layers, self.base = units, layers, base
        self.context = context
        self.selects = any(column.constant for column in columns.all)
        self.register_buffer("modelled", torch.tensor(columns.modelled_index))

    def forward(
        self, x: Tensor, context: Tensor | None = None, steps: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        if self.selects:
            x = torch.index_select(x, 1, self.modelled)
        scaled, units_log_det = self.units.encode(x)
        z, log_det = _at(self.layers, steps).encode(
            scaled.float(), _conditions(self.context, context)
        )
        log_det = log_det + units_log_det.float()
        return self.base.log_prob(z) + log_det, z, log_det


class DecodeGraph(nn.Module):
    """Latent rows ``(batch, features)`` to raw rows ``x`` and ``log_det``."""

    constants: Tensor
    order: Tensor
    edges: Tensor

    def __init__(
        self, columns: Columns, units: Standardise, layers: Chain, context: ContextInput | None
    ) -> None:
        super().__init__()
        self.units, self.layers, self.context = units, layers, context
        constant = [i for i, column in enumerate(columns.all) if column.constant]
        values = [columns.all[i].low for i in constant]
        order = sorted(
            range(len(columns.all)), key=lambda k: [*columns.modelled_index, *constant][k]
        )
        self.inserts = bool(constant)
        self.register_buffer("constants", torch.tensor([values], dtype=units.scale.dtype))
        self.register_buffer("order", torch.tensor(order))
        self.clamps = any(column.interval is not None for column in columns.modelled)
        edges = torch.from_numpy(columns.edges[:, columns.modelled_index])
        self.register_buffer("edges", edges.to(units.scale.dtype))

    def forward(
        self, z: Tensor, context: Tensor | None = None, steps: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        scaled, log_det = _at(self.layers, steps).decode(z, _conditions(self.context, context))
        x, units_log_det = self.units.decode(scaled.to(self.units.scale.dtype))
        if self.clamps:
            x = torch.minimum(torch.maximum(x, self.edges[0]), self.edges[1])
        if self.inserts:
            x = torch.cat([x, self.constants.expand(x.shape[0], -1)], dim=1)
            x = torch.index_select(x, 1, self.order)
        return x, log_det + units_log_det.float()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the graphs of one flow have in common.

    Attributes:
        columns: Of the table.
        units: From the user's units, in the type of the raw rows.
        layers: The rest of the map, float32, folded.
        base: Of the latents, float32.
        context: From the raw context to what the layers see; None without.
        example: Of the raw context; none without.
    """

    columns: Columns
    units: Standardise
    layers: Chain
    base: BaseDensity
    context: ContextInput | None
    example: tuple[Tensor, ...]

    @classmethod
    def of(cls, density: Flow, prepared: Prepared) -> Parts:
        """Those of a whole float64 flow on a table."""
        units, layers = separated(density.bijection)
        given = prepared.context
        context = ContextInput(given, prepared.context_preprocessing) if given.all else None
        return cls(
            columns=prepared.columns,
            units=in_input_type(units, prepared.columns),
            layers=folded(layers).float(),
            base=copy.deepcopy(density.base).folded().float(),
            context=context,
            example=(_example(given),) if context else (),
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
        )


def table_graphs(density: Flow, prepared: Prepared) -> dict[str, GraphSpec]:
    """The graphs of a flow on table rows.

    Args:
        density: The whole float64 flow of :func:`training.evaluate.full_flow`.
        prepared: Its data; decides the inputs' types and where constants stand.
    """
    parts = Parts.of(density, prepared)
    columns, units, layers = parts.columns, parts.units, parts.layers
    encode_passes, decode_passes = layers.passes()
    x = "x", _example(columns)
    z = "z", torch.zeros(EXAMPLE_ROWS, len(columns.modelled))
    log_prob = LogProbGraph(columns, units, layers, parts.base, parts.context)
    decode = DecodeGraph(columns, units, layers, parts.context)
    graphs = {
        "log_prob": parts.spec(log_prob, x, ("log_prob", "z", "log_det"), encode_passes),
        "decode": parts.spec(decode, z, ("x", "log_det"), decode_passes),
    }
    if density.has_terms():
        terms = FeatureLogProbGraph(columns, units, layers, parts.base, parts.context)
        graphs["feature_log_prob"] = parts.spec(terms, x, ("feature_log_prob",), encode_passes)
    return graphs


def _conditions(module: ContextInput | None, context: Tensor | None) -> Tensor | None:
    return None if module is None or context is None else cast("Tensor", module(context))


def _at(layers: Chain, steps: Tensor | None) -> Chain:
    return layers if steps is None else stepped(layers, steps)


def _example(columns: Columns) -> Tensor:
    """The medians, as rows of the graph's input type."""
    medians = np.array([[column.centre for column in columns.all]], dtype=columns.dtype())
    return torch.from_numpy(np.repeat(medians, EXAMPLE_ROWS, axis=0))


def in_input_type(units: Standardise, columns: Columns) -> Standardise:
    """The same map in the type of the raw rows."""
    wide = torch.float64 if columns.needs_float64_input() else torch.float32
    return Standardise(units.centre.to(wide), units.scale.to(wide))


def separated(chain: Chain) -> tuple[Standardise, Chain]:
    """The first map, in the user's unit, and the rest."""
    first, *rest = cast("Sequence[Bijection]", list(chain.bijections))
    if not isinstance(first, Standardise):
        raise TypeError(
            f"expected the chain to begin with Standardise, got {type(first).__name__}"
        )
    return first, Chain(rest)
