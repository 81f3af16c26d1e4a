"""Exact ONNX graphs of a trained flow: raw rows in, density in the user's own units out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from training.bijections import Bijection, Chain, Standardise
from training.columns import Columns
from training.flow import Flow, StandardNormal, folded
from training.prepared import Prepared

OPSET = 20
# Rows of the example that is traced; any number above one leaves the batch axis free.
EXAMPLE_ROWS = 3


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A graph to be exported.

    Attributes:
        module: Computes it.
        examples: A few rows of each input.
        inputs: Input names.
        outputs: Output names.
        passes: Network evaluations that one call costs one after the other.
    """

    module: nn.Module
    examples: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    passes: int


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
        self, columns: Columns, units: Standardise, layers: Chain, context: ContextInput | None
    ) -> None:
        super().__init__()
        self.units, self.layers, self.base = units, layers, StandardNormal()
        self.context = context
        self.selects = any(column.constant for column in columns.all)
        self.register_buffer("modelled", torch.tensor(columns.modelled_index))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        if self.selects:
            x = torch.index_select(x, 1, self.modelled)
        scaled, units_log_det = self.units.encode(x)
        z, log_det = self.layers.encode(scaled.float(), _conditions(self.context, context))
        log_det = log_det + units_log_det.float()
        return self.base.log_prob(z) + log_det, z, log_det


class DecodeGraph(nn.Module):
    """Latent rows ``(batch, features)`` to raw rows ``x`` and ``log_det``."""

    constants: Tensor
    order: Tensor

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

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See the class."""
        scaled, log_det = self.layers.decode(z, _conditions(self.context, context))
        x, units_log_det = self.units.decode(scaled.to(self.units.scale.dtype))
        if self.inserts:
            x = torch.cat([x, self.constants.expand(x.shape[0], -1)], dim=1)
            x = torch.index_select(x, 1, self.order)
        return x, log_det + units_log_det.float()


def table_graphs(density: Flow, prepared: Prepared) -> dict[str, GraphSpec]:
    """The graphs of a flow on table rows.

    Args:
        density: The whole float64 flow of :func:`training.evaluate.full_flow`.
        prepared: Its data; decides the inputs' types and where constants stand.
    """
    columns = prepared.columns
    units, layers = separated(density.bijection)
    units, layers = in_input_type(units, columns), folded(layers).float()
    context = (
        ContextInput(prepared.context, prepared.context_preprocessing)
        if prepared.context.all
        else None
    )
    encode_passes, decode_passes = layers.passes()
    x, latent = _example(columns), torch.zeros(EXAMPLE_ROWS, len(columns.modelled))
    more = (_example(prepared.context),) if context else ()
    names = ("context",) if context else ()
    return {
        "log_prob": GraphSpec(
            LogProbGraph(columns, units, layers, context),
            (x, *more),
            ("x", *names),
            ("log_prob", "z", "log_det"),
            encode_passes,
        ),
        "decode": GraphSpec(
            DecodeGraph(columns, units, layers, context),
            (latent, *more),
            ("z", *names),
            ("x", "log_det"),
            decode_passes,
        ),
    }


def _conditions(module: ContextInput | None, context: Tensor | None) -> Tensor | None:
    return None if module is None or context is None else cast("Tensor", module(context))


def _example(columns: Columns) -> Tensor:
    """The medians, as rows of the graph's input type."""
    medians = np.array([[column.centre for column in columns.all]], dtype=columns.dtype())
    return torch.from_numpy(np.repeat(medians, EXAMPLE_ROWS, axis=0))


def to_onnx(spec: GraphSpec) -> bytes:
    """Export a graph with a free batch axis and nothing in it but operators and weights."""
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            spec.module.eval(),
            spec.examples,
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamic_shapes=tuple({0: batch} for _ in spec.examples),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise ValueError("the exporter gave no program")
    return _bare(program.model_proto)


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


def _bare(model: onnx.ModelProto) -> bytes:
    """Without the exporter's notes, which hold source paths and are most of a small file."""
    model.producer_version = ""
    model.doc_string = ""
    del model.metadata_props[:]
    for entry in (model.graph, *model.graph.node, *model.graph.value_info):
        entry.doc_string = ""
        del entry.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content
