"""Where a graph spends its time, by kind of operator, from onnxruntime's profiler."""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnxruntime import SessionOptions

from service.runtime import session_options
from tests.bench.graphs.timing import feed, session

CALLS = 20
# A node's quickest quarter of calls: of the slower ones, other work is part.
QUANTILE = 0.25
# Whose time is that of the nodes within.
HOLDERS = ("Loop", "If")
PRODUCTS = ("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Conv", "FusedConv")


@dataclass(frozen=True, slots=True)
class Profile:
    """Milliseconds of a call by kind of operator, the costliest first.

    Attributes:
        by_kind: Of all nodes of a kind.
        nodes: How many are run.
    """

    by_kind: dict[str, float]
    nodes: int

    @property
    def products(self) -> float:
        """Share of matrix products and convolutions."""
        return sum(self.by_kind.get(kind, 0.0) for kind in PRODUCTS) / sum(self.by_kind.values())

    def others(self, count: int) -> list[tuple[str, float]]:
        """The costliest kinds beside those, with their shares."""
        total = sum(self.by_kind.values())
        rest = [kind for kind in self.by_kind if kind not in PRODUCTS]
        return [(kind, self.by_kind[kind] / total) for kind in rest[:count]]


def profile(content: bytes, rows: int) -> Profile:
    """Of calls of a number of rows; in loops, a node's time is that of all of its steps."""
    events = node_events(content, rows, CALLS, session_options())
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        times[event["args"]["op_name"], event["name"]].append(event["dur"])
    kinds: dict[str, float] = defaultdict(float)
    for (kind, _), found in times.items():
        if kind not in HOLDERS:
            kinds[kind] += 1e-3 * float(np.quantile(found, QUANTILE)) * len(found) / CALLS
    return Profile(dict(sorted(kinds.items(), key=lambda item: -item[1])), len(times))


def node_events(
    content: bytes, rows: int, calls: int, options: SessionOptions
) -> list[dict[str, Any]]:
    """What onnxruntime's profiler tells of every run of a node on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "profile")
        graph = session(content, options)
        inputs = feed(graph, rows)
        for _ in range(calls):
            graph.run(None, inputs)
        with open(graph.end_profiling()) as file:
            events = json.load(file)
    return [
        event
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
