"""One phase of load: the answer checked, then warm, then measured."""

from __future__ import annotations

import time

from tests.bench import load
from tests.bench.asking import Endpoint, WrongAnswerError, checked_size
from tests.bench.bodies import KINDS, Told
from tests.bench.cells import Figures
from tests.bench.load import Loaded, LoadError
from tests.bench.processes import Tree, machine_cpu_s

WARM_SHARE = 0.25


class PhaseError(Exception):
    """A request of a phase failed, or its answers are not the checked one."""


def measure(
    tree: Tree, endpoint: Endpoint, rows: int, in_flight: int, expected: Told, seconds: float
) -> Figures:
    """Put a server under load for about some seconds.

    Args:
        tree: Its processes.
        endpoint: Where it is asked.
        rows: Of a request.
        in_flight: Requests under way at any time.
        expected: The log-densities to be answered.
        seconds: Of the measured part.

    Raises:
        PhaseError: If an answer is wrong, of another size, or missing.
    """
    try:
        checked_size(endpoint, rows, expected)
        begun = time.perf_counter()
        size = checked_size(endpoint, rows, expected)
        one_s = time.perf_counter() - begun
        warm = load.send(endpoint, rows, in_flight, _many(WARM_SHARE * seconds / one_s, in_flight))
        count = _many(seconds * warm.requests / warm.seconds, in_flight)
        machine, cpu = machine_cpu_s(), tree.cpu_s()
        begun = time.perf_counter()
        loaded = load.send(endpoint, rows, in_flight, count)
        wall = time.perf_counter() - begun
        cpu = tree.cpu_s() - cpu
        machine = machine_cpu_s() - machine
    except (WrongAnswerError, LoadError) as error:
        raise PhaseError(str(error)) from error
    _check(loaded, count, size, KINDS[endpoint.kind].digits * rows)
    return _figures(loaded, cpu, max(0.0, (machine - cpu - loaded.client_cpu_s) / wall))


def _many(about: float, in_flight: int) -> int:
    """A number of requests that all clients share evenly."""
    return in_flight * max(1, round(about / in_flight))


def _check(loaded: Loaded, count: int, size: int, slack: int) -> None:
    if (loaded.requests, loaded.succeeded) != (count, count):
        raise PhaseError(f"expected {count} answers of success, got {loaded.succeeded}")
    if abs(loaded.answered_bytes - count * size) > count * slack:
        mean = loaded.answered_bytes / count
        raise PhaseError(f"expected answers of {size} bytes, got {mean:.1f} on average")


def _figures(loaded: Loaded, cpu_s: float, other_cores: float) -> Figures:
    return Figures(
        requests=loaded.requests,
        requests_s=loaded.requests / loaded.seconds,
        p50_ms=loaded.p50_ms,
        p99_ms=loaded.p99_ms,
        cpu_ms=1e3 * cpu_s / loaded.requests,
        client_cpu_ms=1e3 * loaded.client_cpu_s / loaded.requests,
        other_cores=other_cores,
    )
