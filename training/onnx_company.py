"""Rows in company: what layers make of a row does not depend on what else was asked with it.

Vector units take so many numbers at once, and onnxruntime computes those left over at the end of
an array by another formula, whose last digit can be another one. Which row stands there depends on
the number of rows, and the next layers make more of that digit. So a graph fills up what it is
given with copies of a row, computes whole vectors only, and drops the copies again. What is left
is the last digit of sums over a row, as of log-dets, which no layer sees.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

# Names that no exporter gives.
_ROWS, _MARK = "company.rows", "company."
_WHOLE, _NONE, _ONE = "company.whole", "company.none", "company.one"
WHOLE = 16  # numbers that the widest of today's vector units takes at once


def give_company(model: ModelProto, inputs: Iterable[str]) -> None:
    """Change a graph such that inside of it the number of rows is a multiple of :data:`WHOLE`.

    Args:
        model: The graph; its outputs have the batch as their first axis.
        inputs: Those of its inputs that have the batch as their first axis, all of two axes.
    """
    graph = model.graph
    batched, outputs = list(inputs), [output.name for output in graph.output]
    for name in (*batched, *outputs):
        _rename(graph, name, _MARK + name)
    constants = {_WHOLE: [WHOLE], _NONE: [0], _ONE: [1]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in constants.items()
    )
    before = [*_counted(batched[0]), *(node for name in batched for node in _filled(name))]
    after = [
        helper.make_node("Slice", [_MARK + name, _NONE, _ROWS, _NONE], [name]) for name in outputs
    ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)


def _counted(name: str) -> list[NodeProto]:
    """How many rows there are, and how many copies of one, and of its values, are needed."""
    lacking, copies = _MARK + "lacking", _MARK + "copies"
    return [
        helper.make_node("Shape", [name], [_ROWS], start=0, end=1),
        helper.make_node("Neg", [_ROWS], [_MARK + "less"]),
        helper.make_node("Mod", [_MARK + "less", _WHOLE], [lacking]),
        helper.make_node("Concat", [lacking, _ONE], [copies], axis=0),
    ]


def _filled(name: str) -> list[NodeProto]:
    """The rows, and copies of the first of them behind."""
    first, copies = _MARK + name + ".first", _MARK + name + ".copies"
    return [
        helper.make_node("Slice", [name, _NONE, _ONE, _NONE], [first]),
        helper.make_node("Tile", [first, _MARK + "copies"], [copies]),
        helper.make_node("Concat", [name, copies], [_MARK + name], axis=0),
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
