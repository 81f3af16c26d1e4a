"""Sizes that a graph makes out of numbers: those that are known are bounded, none is a value."""

from __future__ import annotations

import math

from exported.errors import BundleInvalidError
from exported.graphs.document import Node, OnnxGraph
from exported.graphs.scope import Scope

MAX_MADE = 2**24  # numbers of a tensor whose shape is a constant
# Which inputs of an operator say how large its output is.
_MAKERS = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Tile": (1,),
}
_FORGETS = ("Shape", "Size")  # whose answer is no number of a row


def check_sizes(graph: OnnxGraph, scope: Scope) -> None:
    """Refuse tensors that a value could make as large as it likes.

    Args:
        graph: Whose names are in order.
        scope: Of it.

    Raises:
        BundleInvalidError: Naming the first.
    """
    _look(graph, scope, set(graph.inputs) - scope.options)


def _look(graph: OnnxGraph, scope: Scope, values: set[str]) -> bool:
    """Look at every node; whether the outputs depend on values, whose names are told."""
    added: list[str] = []
    for node in graph.nodes:
        for place in _MAKERS.get(node.operator, ()):
            if place < len(node.inputs):
                _check(node, node.inputs[place], scope, values)
        if _depends(node, scope, values) and node.operator not in _FORGETS:
            added += node.outputs
            values.update(node.outputs)
    is_touched = not values.isdisjoint(graph.outputs)
    values.difference_update(added)  # another graph may use the same names
    return is_touched


def _depends(node: Node, scope: Scope, values: set[str]) -> bool:
    is_touched = not values.isdisjoint(node.inputs)
    for body in node.bodies.values():
        inner = scope.within(body)
        is_touched = is_touched or _look(body, inner, values)
        if is_touched:  # then the inputs of a loop's next round may be as well
            _look(body, inner, values | set(body.inputs))
    return is_touched


def _check(node: Node, size: str, scope: Scope, values: set[str]) -> None:
    what = f"{node.operator} {(node.outputs or ('',))[0][:64]!r}"
    if size in values:
        raise BundleInvalidError(
            f"expected sizes that depend on the number of rows alone, but that of {what} depends "
            "on their values"
        )
    numbers = scope.constants.get(size)
    made = math.prod(max(abs(number), 1) for number in numbers or ())
    if made > MAX_MADE:
        raise BundleInvalidError(f"expected {what} to make at most {MAX_MADE} numbers, got {made}")
