"""A row alone is computed beside a copy of itself, so that it has the digits it has among others.

With the batch as the last axis a product of matrices becomes one of a matrix and a vector when
there is a single row. onnxruntime adds up the terms of that in another order, and the last digits
of a row would depend on whether others came with it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

# Names that no exporter gives.
_ROWS, _MARK = "company.rows", "company."
_TWO, _NONE, _FIRST = "company.two", "company.none", "company.first"


def give_company(model: ModelProto, inputs: Iterable[str]) -> None:
    """Change a graph such that inside of it there are two rows where it is given one.

    Args:
        model: The graph; its outputs have the batch as their first axis.
        inputs: Those of its inputs that have the batch as their first axis.
    """
    graph = model.graph
    batched, outputs = list(inputs), [output.name for output in graph.output]
    for name in (*batched, *outputs):
        _rename(graph, name, _MARK + name)
    constants = {_TWO: [2], _NONE: [0], _FIRST: [0]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in constants.items()
    )
    before = [*_counted(batched[0]), *(node for name in batched for node in _doubled(name))]
    after = [
        helper.make_node("Slice", [_MARK + name, _NONE, _ROWS, _FIRST], [name]) for name in outputs
    ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)


def _counted(name: str) -> list[NodeProto]:
    """How many rows there are, and how many more are needed for two."""
    return [
        helper.make_node("Shape", [name], [_ROWS], start=0, end=1),
        helper.make_node("Sub", [_TWO, _ROWS], [_MARK + "lacking"]),
        helper.make_node("Max", [_MARK + "lacking", _NONE], [_MARK + "copies"]),
    ]


def _doubled(name: str) -> list[NodeProto]:
    """The rows, and the first of them again where it is alone."""
    copy = _MARK + name + ".copy"
    return [
        helper.make_node("Slice", [name, _NONE, _MARK + "copies", _FIRST], [copy]),
        helper.make_node("Concat", [name, copy], [_MARK + name], axis=0),
    ]


def _rename(graph: GraphProto, old: str, new: str) -> None:
    """Give a value another name wherever a node makes or takes it, in the bodies of loops too."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, old, new)
                for output in attribute.g.output:
                    output.name = new if output.name == old else output.name
