"""What the service is meant to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench import in_process
from tests.bench.cells import Figures, Place
from tests.bench.medians import Medians, short
from tests.bench.servers import EMBEDDED, ONE_REPLICA, PLAIN_RAY, RAY, TWO_REPLICAS

ALONE_MS, SHARED_MS, MIDDLE_MS, LONE_P50_MS = 0.25, 0.15, 0.4, 1.0
BINARY_SHARE, GRPC_SHARE = 0.95, 0.92
OVER_PLAIN = {1: 6.0, 64: 10.0}
TWO_OVER_ONE = 1.8


@dataclass(frozen=True, slots=True)
class Target:
    """One of them.

    Attributes:
        what: Is compared.
        wanted: As text.
        measured: The same of the medians; None where something is not measured.
        met: Whether it is reached.
    """

    what: str
    wanted: str
    measured: float | None
    met: bool


def targets(medians: Medians) -> list[Target]:
    """All of them."""
    return [*_embedded(medians), *_large(medians), *_ray(medians)]


def _embedded(medians: Medians) -> Iterator[Target]:
    for kind in ("JSON", "binary"):
        alone = _minus(_cpu(medians, EMBEDDED, kind, 1, 1), _limit(medians, 1))
        what = f"embedded, one row, {kind}, 1 in flight: server CPU above in process, ms"
        yield _most(what, ALONE_MS, alone)
        what = f"embedded, one row, {kind}, 64 in flight: server CPU, ms"
        yield _most(what, SHARED_MS, _cpu(medians, EMBEDDED, kind, 1, 64))


def _large(medians: Medians) -> Iterator[Target]:
    for in_flight in (1, 8):
        where = f"{in_flight} in flight"
        middle = _cpu(medians, EMBEDDED, "binary", 256, in_flight)
        what = f"embedded, 256 rows, binary, {where}: server CPU above in process, ms"
        yield _most(what, MIDDLE_MS, _minus(middle, _limit(medians, 256)))
        for kind, share in (("binary", BINARY_SHARE), ("gRPC", GRPC_SHARE)):
            cpu = _cpu(medians, EMBEDDED, kind, 4096, in_flight)
            what = f"embedded, 4,096 rows, {kind}, {where}: rows per CPU second over in process"
            yield _least(what, share, _over(_limit(medians, 4096), cpu))


def _ray(medians: Medians) -> Iterator[Target]:
    for in_flight, times in OVER_PLAIN.items():
        ours = _rate(medians, RAY, "JSON", 1, in_flight)
        plain = _rate(medians, PLAIN_RAY, "x", 1, in_flight)
        what = f"Ray Serve, one row, JSON, {in_flight} in flight: requests/s over plain Ray Serve"
        yield _least(what, times, _over(ours, plain))
    for kind in ("JSON", "binary"):
        lone = _value(medians, Place(RAY, kind, 1, 1), _p50)
        limit = _value(medians, Place(in_process.NAME, "log_prob", 1, 1), _p50)
        what = f"Ray Serve, one row, {kind}, 1 in flight: p50 above in process, ms"
        yield _most(what, LONE_P50_MS, _minus(lone, limit))
    one = _rate(medians, ONE_REPLICA, "binary", 256, 8)
    two = _rate(medians, TWO_REPLICAS, "binary", 256, 8)
    yield _least("two replicas over one, 256 rows, binary: rows/s", TWO_OVER_ONE, _over(two, one))


def _p50(figures: Figures) -> float:
    return figures.p50_ms


def _cpu(medians: Medians, server: str, kind: str, rows: int, in_flight: int) -> float | None:
    return _value(medians, Place(server, kind, rows, in_flight), lambda one: one.cpu_ms)


def _rate(medians: Medians, server: str, kind: str, rows: int, in_flight: int) -> float | None:
    return _value(medians, Place(server, kind, rows, in_flight), lambda one: one.requests_s)


def _limit(medians: Medians, rows: int) -> float | None:
    return _cpu(medians, in_process.NAME, "log_prob", rows, 1)


def _value(medians: Medians, place: Place, figure: Callable[[Figures], float]) -> float | None:
    found = medians.of(place, figure)
    return None if found is None else found.median


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _over(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value / other


def _most(what: str, bound: float, measured: float | None) -> Target:
    met = measured is not None and measured <= bound
    return Target(what, f"at most {bound:g}", measured, met)


def _least(what: str, bound: float, measured: float | None) -> Target:
    met = measured is not None and measured >= bound
    return Target(what, f"at least {bound:g}", measured, met)


def render(found: list[Target]) -> str:
    """A table in Markdown."""
    lines = ["| target | wanted | measured | |", "|---|---|--:|---|"]
    for one in found:
        measured = "–" if one.measured is None else _signed(one.measured)
        verdict = "not measured" if one.measured is None else "met" if one.met else "not met"
        lines.append(f"| {one.what} | {one.wanted} | {measured} | {verdict} |")
    return "\n".join(lines)


def _signed(value: float) -> str:
    return f"-{short(-value)}" if value < 0 else short(value)
