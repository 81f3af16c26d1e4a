"""What makes a graph safe to run, as far as it can be known without running it."""

from __future__ import annotations

from collections.abc import Collection

from exported.errors import BundleInvalidError
from exported.graphs.constants import check_constants
from exported.graphs.document import OnnxGraph, read_model
from exported.graphs.loops import check_rounds
from exported.graphs.names import check_names
from exported.graphs.operators import ALIASES, OPERATORS
from exported.graphs.scope import Scope
from exported.graphs.sizes import check_sizes


def check_graph(file: str, content: bytes, options: Collection[str]) -> None:
    """Refuse a graph that reads files, runs code of others, might not end or grows by its rows.

    Args:
        file: Its name, for errors.
        content: Its bytes.
        options: Inputs that a caller chooses among what the manifest offers.

    Raises:
        BundleInvalidError: Naming the file and what is wrong.
    """
    try:
        graph, domains = read_model(content)
        for domain in domains:
            _operators(domain)
        _check_operators(graph)
        check_names(graph)
        scope = Scope.of(graph, frozenset(options))
        check_rounds(graph, scope)
        check_sizes(graph, scope)
        check_constants(graph)
    except BundleInvalidError as error:
        raise BundleInvalidError(f"{file} is refused: {error}") from error


def _check_operators(graph: OnnxGraph) -> None:
    for node in graph.nodes:
        if node.operator not in _operators(node.domain):
            raise BundleInvalidError(f"the operator {node.operator[:64]!r} is not known here")
        for body in node.bodies.values():
            _check_operators(body)


def _operators(domain: str) -> frozenset[str]:
    """Those of a domain that are known here.

    Raises:
        BundleInvalidError: If there are none: they are not ONNX's own.
    """
    known = OPERATORS.get(ALIASES.get(domain, domain))
    if known is None:
        raise BundleInvalidError(f"operators of the domain {domain[:64]!r} are not known here")
    return known
