"""Exact ONNX graphs of a trained flow: raw rows in, density in the user's own units out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import onnx
import torch
from torch import Tensor, nn

from training.bijections import Bijection, Chain, Standardise
from training.columns import Columns
from training.flow import Flow, StandardNormal, folded

OPSET = 20
# Rows of the example that is traced; any number above one leaves the batch axis free.
EXAMPLE_ROWS = 3


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A graph to be exported.

    Attributes:
        module: Computes it.
        example: Input of a few rows.
        inputs: Input names.
        outputs: Output names.
        passes: Network evaluations that one call costs one after the other.
    """

    module: nn.Module
    example: Tensor
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    passes: int


class LogProbGraph(nn.Module):
    """Raw rows ``(batch, columns)`` to ``log_prob``, ``z`` and ``log_det``."""

    modelled: Tensor

    def __init__(self, columns: Columns, units: Standardise, layers: Chain) -> None:
        super().__init__()
        self.units, self.layers, self.base = units, layers, StandardNormal()
        self.selects = any(column.constant for column in columns.all)
        self.register_buffer("modelled", torch.tensor(columns.modelled_index))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        if self.selects:
            x = torch.index_select(x, 1, self.modelled)
        scaled, units_log_det = self.units.encode(x)
        z, log_det = self.layers.encode(scaled.float())
        log_det = log_det + units_log_det.float()
        return self.base.log_prob(z) + log_det, z, log_det


class DecodeGraph(nn.Module):
    """Latent rows ``(batch, features)`` to raw rows ``x`` and ``log_det``."""

    constants: Tensor
    order: Tensor

    def __init__(self, columns: Columns, units: Standardise, layers: Chain) -> None:
        super().__init__()
        self.units, self.layers = units, layers
        constant = [i for i, column in enumerate(columns.all) if column.constant]
        values = [columns.all[i].low for i in constant]
        order = sorted(
            range(len(columns.all)), key=lambda k: [*columns.modelled_index, *constant][k]
        )
        self.inserts = bool(constant)
        self.register_buffer("constants", torch.tensor([values], dtype=units.scale.dtype))
        self.register_buffer("order", torch.tensor(order))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        scaled, log_det = self.layers.decode(z)
        x, units_log_det = self.units.decode(scaled.to(self.units.scale.dtype))
        if self.inserts:
            x = torch.cat([x, self.constants.expand(x.shape[0], -1)], dim=1)
            x = torch.index_select(x, 1, self.order)
        return x, log_det + units_log_det.float()


def table_graphs(density: Flow, columns: Columns) -> dict[str, GraphSpec]:
    """The graphs of a flow on table rows.

    Args:
        density: The whole float64 flow of :func:`training.evaluate.full_flow`.
        columns: Of the table; decides the input's type and where constants stand.
    """
    units, layers = _separated(density.bijection)
    wide = torch.float64 if columns.needs_float64_input() else torch.float32
    units = Standardise(units.centre.to(wide), units.scale.to(wide))
    layers = folded(layers).float()
    encode_passes, decode_passes = layers.passes()
    example = torch.tensor([[column.centre for column in columns.all]], dtype=wide)
    latent = torch.zeros(EXAMPLE_ROWS, len(columns.modelled))
    return {
        "log_prob": GraphSpec(
            LogProbGraph(columns, units, layers),
            example.repeat(EXAMPLE_ROWS, 1),
            ("x",),
            ("log_prob", "z", "log_det"),
            encode_passes,
        ),
        "decode": GraphSpec(
            DecodeGraph(columns, units, layers), latent, ("z",), ("x", "log_det"), decode_passes
        ),
    }


def to_onnx(spec: GraphSpec) -> bytes:
    """Export a graph with a free batch axis and nothing in it but operators and weights."""
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            spec.module.eval(),
            (spec.example,),
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamic_shapes=({0: batch},),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise ValueError("the exporter gave no program")
    return _bare(program.model_proto)


def _separated(chain: Chain) -> tuple[Standardise, Chain]:
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
