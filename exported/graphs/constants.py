"""Work on constants alone, which onnxruntime does while it loads a graph and cannot be stopped."""

from __future__ import annotations

from exported.errors import BundleInvalidError
from exported.graphs.document import OnnxGraph

MAX_NODES = 1000  # of a graph and those in it; what torch exports has fewer than a hundred
_GIVEN = ("Constant", "Shape", "Size")
_HEAVY = frozenset({"Conv", "ConvTranspose", "Det", "Einsum", "Gemm", "MatMul"})


def check_constants(graph: OnnxGraph) -> None:
    """Refuse work that the export should have done.

    Args:
        graph: Whose names are in order.

    Raises:
        BundleInvalidError: If it is heavy, or too much.
    """
    count = _count(graph, set())
    if count > MAX_NODES:
        raise BundleInvalidError(
            f"expected at most {MAX_NODES} operators on constants alone, got {count}"
        )


def _count(graph: OnnxGraph, constants: set[str]) -> int:
    """Operators on constants; a shape counts as one, as it may be known before the rows are."""
    added, count = list(graph.initializers), 0
    constants.update(added)
    for node in graph.nodes:
        count += sum(_count(body, constants) for body in node.bodies.values())
        is_given = node.operator in _GIVEN
        if is_given or (not node.bodies and constants.issuperset(filter(None, node.inputs))):
            if node.operator in _HEAVY:
                raise BundleInvalidError(f"expected no {node.operator} of constants alone")
            count += not is_given
            added += node.outputs
            constants.update(node.outputs)
    constants.difference_update(added)  # another graph may use the same names
    return count
