"""The limit: the same graph by onnxruntime in this process, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

from tests.bench.bodies import Told, some_rows
from tests.bench.cells import Figures

NAME = "onnxruntime in process"
# What a call asks the graph for: the log-density alone, or all that it gives.
OUTPUTS = {"log_prob": ["log_prob"], "all outputs": None}
_WARM = 5


def expected(graph: Path, rows: int) -> Told:
    """Log-densities of :func:`some_rows`."""
    return np.asarray(_session(graph).run(["log_prob"], {"x": some_rows(rows)})[0], np.float64)


def measure(graph: Path, kind: str, rows: int, seconds: float) -> Figures:
    """Call for some seconds with the outputs of a kind of :data:`OUTPUTS`."""
    session, outputs, x = _session(graph), OUTPUTS[kind], some_rows(rows)
    return timed(lambda: session.run(outputs, {"x": x}), seconds)


def timed(call: Callable[[], object], seconds: float) -> Figures:
    """Call one after the other for some seconds, after a few that do not count."""
    for _ in range(_WARM):
        call()
    cpu = time.process_time()
    times = _times(call, seconds)
    cpu_ms = 1e3 * (time.process_time() - cpu) / len(times)
    p50, p99 = 1e3 * np.percentile(times, [50, 99])
    rate = len(times) / sum(times)
    return Figures(len(times), rate, float(p50), float(p99), cpu_ms, 0.0, 0.0)


def _times(call: Callable[[], object], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return times


@cache
def _session(graph: Path) -> onnxruntime.InferenceSession:
    return one_thread(graph)


def one_thread(graph: Path) -> onnxruntime.InferenceSession:
    """A session as the service and every server beside it has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
