"""What a call of a graph has to compute and to move, by the shapes that its nodes work on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxruntime import GraphOptimizationLevel

from service.runtime import session_options
from tests.bench.graphs.operators import HOLDERS, node_events

# Numbers of rows between which the work of all others is a straight line. Multiples of 16, to
# which graphs fill up what they are given.
LOW, HIGH = 64, 256
# Nodes that hand on the memory that they were given.
_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Shape", "Size")
_MATRIX = ("MatMul", "Gemm", "FusedMatMul", "FusedGemm")
_CONVOLUTION = ("Conv", "FusedConv")
_SIZES = ("activation_size", "parameter_size", "output_size")


@dataclass(frozen=True, slots=True)
class Work:
    """Of a call.

    Attributes:
        products: Additions and multiplications in matrix products and convolutions.
        moved_bytes: What all nodes read and write, each on its own, as a GPU runs them.
    """

    products: float
    moved_bytes: float


@dataclass(frozen=True, slots=True)
class Line:
    """The work of any number of rows from that of two of them."""

    low: Work
    high: Work

    def at(self, rows: int) -> Work:
        """Of a call of so many rows."""
        part = (rows - LOW) / (HIGH - LOW)
        return Work(
            self.low.products + part * (self.high.products - self.low.products),
            self.low.moved_bytes + part * (self.high.moved_bytes - self.low.moved_bytes),
        )


def line(content: bytes) -> Line:
    """Of a graph, which runs on the CPU for it."""
    return Line(_work(content, LOW), _work(content, HIGH))


def _work(content: bytes, rows: int) -> Work:
    options = session_options()
    # Else weights are missing in what the profiler tells, and convolutions have other shapes.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    told = [event["args"] for event in node_events(content, rows, 1, options)]
    moved = [one for one in told if one["op_name"] not in (*HOLDERS, *_VIEWS)]
    return Work(
        sum(_products(one) for one in told),
        sum(float(one[size]) for one in moved for size in _SIZES),
    )


def _products(told: Mapping[str, Any]) -> float:
    kind = told["op_name"]
    if kind not in (*_MATRIX, *_CONVOLUTION):
        return 0.0
    first, second = (_shape(one) for one in told["input_type_shape"][:2])
    out = _shape(told["output_type_shape"][0])
    if kind in _CONVOLUTION:
        return 2.0 * math.prod(out) * math.prod(second[1:])
    if not math.prod(out):
        return 0.0
    for one in (first, second):
        if len(one) == 1:
            return 2.0 * math.prod(out) * one[0]
    # Whichever way the first factor lies, its two axes are those of the result and the inner one.
    return 2.0 * math.prod(out) * math.prod(first[-2:]) / out[-2]


def _shape(told: Mapping[str, Sequence[int]]) -> Sequence[int]:
    return next(iter(told.values()))
