"""Processor seconds of calls that take turns, and the sessions that are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
import onnxruntime as ort

from service.runtime import session_options

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure in several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of at least one value."""
        return cls(median(values), min(values), max(values))


def by_turns(calls: Mapping[str, Call], rounds: int, at_least_s: float) -> dict[str, list[float]]:
    """Processor seconds of one call, by name, in every round; all calls take a turn in each.

    Args:
        calls: To be timed, on one thread.
        rounds: How often each has its turn.
        at_least_s: Length of a turn.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(_turn(call, at_least_s))
    return found


def _turn(call: Call, at_least_s: float) -> float:
    times, began, started = 0, time.perf_counter(), time.process_time()
    while times == 0 or time.perf_counter() - began < at_least_s:
        call()
        times += 1
    return (time.process_time() - started) / times


def session(content: bytes, options: ort.SessionOptions | None = None) -> ort.InferenceSession:
    """A session on the CPU, with the service's options where no others are given."""
    given = options or session_options()
    return ort.InferenceSession(content, given, providers=["CPUExecutionProvider"])


def feed(graph: ort.InferenceSession, rows: int) -> dict[str, np.ndarray]:
    """Standard normal rows for the first input, and eight steps where the graph asks for them."""
    first, *others = graph.get_inputs()
    noise = np.random.default_rng(0).standard_normal((rows, first.shape[1]))
    kind = np.float64 if "double" in first.type else np.float32
    return {first.name: noise.astype(kind)} | {one.name: np.array(8) for one in others}


def run(graph: ort.InferenceSession, rows: int, chunk: int | None = None) -> Call:
    """A call of a number of rows, as one run or in chunks, as the service cuts it."""
    inputs = feed(graph, rows)
    first = next(iter(inputs))
    step = chunk or rows
    cut = [{**inputs, first: inputs[first][i : i + step]} for i in range(0, rows, step)]
    return lambda: [graph.run(None, part) for part in cut]


def run_in_place(graph: ort.InferenceSession, rows: int, times: int = 1) -> Call:
    """Some runs with outputs in memory that is there already, which flatters a floor least."""
    binding = graph.io_binding()
    for name, value in feed(graph, rows).items():
        binding.bind_cpu_input(name, value)
    for output in graph.get_outputs():
        shape = [rows if isinstance(size, str) else size for size in output.shape]
        binding.bind_ortvalue_output(
            output.name, ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
        )
    return lambda: [graph.run_with_iobinding(binding) for _ in range(times)]
