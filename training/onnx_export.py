"""A module becomes an ONNX graph: a free batch axis, operators and weights, and no notes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from exported.graphs import check_graph
from training.onnx_company import give_company
from training.onnx_float64 import FLOAT64_OPERATORS

OPSET = 20


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A graph to be exported.

    Attributes:
        module: Computes it.
        examples: A few rows of each input.
        inputs: Input names.
        outputs: Output names.
        passes: Network evaluations that one call costs one after the other.
        options: Names of scalar inputs after those, each with an example.
        samples: Inputs whose second axis is free too.
        wide: Whether it computes in float64.
        company: Whether rows are filled up to whole vectors; see :mod:`training.onnx_company`.
    """

    module: nn.Module
    examples: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    passes: int
    options: Mapping[str, Tensor]
    samples: tuple[str, ...] = ()
    wide: bool = False
    company: bool = False


def to_onnx(spec: GraphSpec) -> bytes:
    """Export a graph with a free batch axis and nothing in it but operators and weights.

    Raises:
        BundleInvalidError: If no reader of bundles would take it.
    """
    return checked(to_model(spec), spec.options)


def checked(model: onnx.ModelProto, options: Collection[str]) -> bytes:
    """The bytes of a graph that readers of bundles take.

    Raises:
        BundleInvalidError: If they would not.
    """
    content: bytes = model.SerializeToString()
    check_graph("the exported graph", content, options)
    return content


def to_model(spec: GraphSpec) -> onnx.ModelProto:
    """The same as a document."""
    shapes: dict[str, object] = {
        name: _free_axes(samples=name in spec.samples) for name in spec.inputs
    }
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            spec.module.eval(),
            kwargs=dict(zip(spec.inputs, spec.examples, strict=True)) | dict(spec.options),
            input_names=[*spec.inputs, *spec.options],
            output_names=list(spec.outputs),
            dynamic_shapes=shapes | dict.fromkeys(spec.options),
            opset_version=OPSET,
            custom_translation_table=dict(FLOAT64_OPERATORS) if spec.wide else None,
            dynamo=True,
            external_data=False,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise ValueError("the exporter gave no program")
    model = _bare(program.model_proto)
    if spec.company:
        give_company(model, spec.inputs)
    return model


def _free_axes(*, samples: bool) -> dict[int, object]:
    batch: dict[int, object] = {0: torch.export.Dim("batch")}
    return batch | ({1: torch.export.Dim("samples")} if samples else {})


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes, which hold source paths and are most of a small file."""
    model.producer_version = ""
    model.doc_string = ""
    del model.metadata_props[:]
    _strip(model.graph)
    return model


def _strip(graph: onnx.GraphProto) -> None:
    """Take the notes out of a graph and of the loops' bodies in it."""
    for entry in (graph, *graph.node, *graph.value_info):
        entry.doc_string = ""
        del entry.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)
