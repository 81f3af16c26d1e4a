"""How often the bodies of loops run at most, which must be known before one runs."""

from __future__ import annotations

from exported.errors import BundleInvalidError
from exported.graphs.document import Node, OnnxGraph
from exported.graphs.scope import Scope

MAX_ROUNDS = 100_000  # of all loops of a graph together, those in others as often as they run


def check_rounds(graph: OnnxGraph, scope: Scope) -> None:
    """Refuse loops that might not end.

    Raises:
        BundleInvalidError: If the rounds of a loop are not known, or all of them are too many.
    """
    rounds = _rounds(graph, scope)
    if rounds > MAX_ROUNDS:
        raise BundleInvalidError(
            f"expected at most {MAX_ROUNDS} rounds of all loops of a graph, got {rounds}"
        )


def _rounds(graph: OnnxGraph, scope: Scope) -> int:
    total = 0
    for node in graph.nodes:
        times = _trips(node, scope) if node.operator == "Loop" else 0
        for body in node.bodies.values():
            inner = _rounds(body, scope.within(body))
            total += times + max(times, 1) * inner
    return total


def _trips(node: Node, scope: Scope) -> int:
    limit = node.inputs[0] if node.inputs else ""
    most = scope.most(limit) if limit else _counted(node, scope)
    if most is None:
        raise BundleInvalidError(
            f"expected the Loop {(node.outputs or ('',))[0][:64]!r} to run a number of rounds "
            "that is a constant or an option of the manifest, got one that is not known before"
        )
    return max(most, 0)


def _counted(node: Node, scope: Scope) -> int | None:
    """Rounds of a loop that goes on while a counter is less than a bound; None for any other.

    Torch exports ``while_loop`` so: the counter is one of the loop's own variables, begins at a
    constant that is not negative and grows by another that is positive, all of them int64.
    """
    body = node.bodies.get("body")
    if body is None or not body.outputs:
        return None
    inner = scope.within(body)
    made = {name: inside for inside in body.nodes for name in inside.outputs}
    ends = made.get(body.outputs[0])
    if ends is None or ends.operator != "Less" or len(ends.inputs) != 2:
        return None
    counter, bound = ends.inputs
    grows = made.get(counter)
    if grows is None or grows.operator != "Add" or counter not in body.outputs[1:]:
        return None
    # Of a loop, inputs are the limit, the condition and the variables; of its body, the round, the
    # condition and the variables; it gives the condition and the variables.
    place = body.outputs.index(counter, 1) + 1
    if place >= min(len(body.inputs), len(node.inputs)):
        return None
    others = [name for name in grows.inputs if name != body.inputs[place]]
    step = inner.number(others[0]) if len(others) == 1 else None
    start, most = scope.number(node.inputs[place]), inner.most(bound)
    is_counting = step is not None and step > 0 and start is not None and start >= 0
    return most if is_counting else None
