"""Names of a graph: each is made once, and before it is used, so that one look is enough."""

from __future__ import annotations

from collections.abc import Iterable

from exported.errors import BundleInvalidError
from exported.graphs.document import OnnxGraph


def check_names(graph: OnnxGraph) -> None:
    """Refuse a graph in which it is not clear what a name means.

    Raises:
        BundleInvalidError: Naming the name.
    """
    _look(graph, set())


def _look(graph: OnnxGraph, known: set[str]) -> None:
    made = _made([*graph.inputs, *graph.initializers], known)
    for node in graph.nodes:
        _expect(node.inputs, known)
        for body in node.bodies.values():
            _look(body, known)
        made += _made(node.outputs, known)
    _expect(graph.outputs, known)
    known.difference_update(made)


def _made(names: Iterable[str], known: set[str]) -> list[str]:
    made = [name for name in names if name]
    for name in made:
        if name in known:
            raise BundleInvalidError(f"the name {name[:64]!r} is made twice")
        known.add(name)
    return made


def _expect(names: Iterable[str], known: set[str]) -> None:
    for name in names:
        if name and name not in known:
            raise BundleInvalidError(f"the name {name[:64]!r} is used before it is made")
