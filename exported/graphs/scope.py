"""What names mean where a node stands: constants, and options that a caller chooses."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass

from exported.accuracy import MAX_STEPS
from exported.bounds import MAX_DEPTH
from exported.graphs.document import OnnxGraph

# The most that a manifest can offer as an option.
MAX_OPTION = max(MAX_STEPS, MAX_DEPTH)

Numbers = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Of a graph and those around it.

    Attributes:
        constants: Numbers by name; None for those that are many, or no int64.
        options: Inputs that a caller chooses among what the manifest offers.
    """

    constants: ChainMap[str, Numbers]
    options: frozenset[str]

    @classmethod
    def of(cls, graph: OnnxGraph, options: frozenset[str]) -> Scope:
        """The outermost."""
        return cls(ChainMap(), options).within(graph)

    def within(self, graph: OnnxGraph) -> Scope:
        """Of a graph in this one."""
        own = dict(graph.initializers)
        for node in graph.nodes:
            if node.operator == "Constant" and node.outputs:
                own[node.outputs[0]] = node.value
        return Scope(self.constants.new_child(own), self.options)

    def number(self, name: str) -> int | None:
        """The one number of a constant; None for anything else."""
        numbers = self.constants.get(name)
        return numbers[0] if numbers is not None and len(numbers) == 1 else None

    def most(self, name: str) -> int | None:
        """The most that a count can be; None where that is not known."""
        return MAX_OPTION if name in self.options else self.number(name)
