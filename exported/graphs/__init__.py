"""What a graph of a bundle may do, read from its bytes before anything runs it."""

from exported.graphs.check import check_graph

__all__ = ["check_graph"]
