"""The page of ``make bench`` in Markdown."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from tests.bench import in_process, targets
from tests.bench.cells import Figures, Place
from tests.bench.medians import Figure, Medians, Spread
from tests.bench.servers import ROWS

_SHOWN: Mapping[str, Figure] = {
    "p50, ms": lambda one: one.p50_ms,
    "p99, ms": lambda one: one.p99_ms,
    "server CPU, ms a request": lambda one: one.cpu_ms,
}
_METHOD = """\
Server CPU is user and system time of every process of the server, a request: the steady figure,
because the load generator has the same cores. It is read before and after each phase. Figures are
the median of the rounds [smallest–largest]; every server is measured once a round. Before a phase
the answer is compared with onnxruntime's in this process; a phase in which one request fails, or
is answered with another status or size, has no figures. "Above in process" is the median less that
of `log_prob` in process. Requests ask for `log_prob` alone; the service runs a flow's graph for
all of its outputs whatever is asked."""


def render(medians: Medians, rounds: int, seconds: float, notes: list[str]) -> str:
    """The whole page.

    Args:
        medians: What was measured.
        rounds: How often.
        seconds: Of each phase.
        notes: What was not measured, and why.
    """
    parts = [
        "# The service under load",
        f"`make bench`: {machine()}. {rounds} rounds, phases of {seconds:g} s; other work kept at "
        f"most {medians.most(_other_cores):.1f} cores busy.",
        _METHOD,
        *notes,
        "## Targets",
        targets.render(targets.targets(medians)),
        *(_section(medians, rows) for rows in ROWS),
        *_failures(medians),
    ]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """The machine and what runs the graph on it."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = re.search(r"model name\s*: (.+)", told)
    cores = f"{os.cpu_count()} cores ({named[1] if named else platform.machine()})"
    python = platform.python_version()
    return (
        f"{cores}, shared with the clients; onnxruntime {onnxruntime.__version__}, Python {python}"
    )


def _section(medians: Medians, rows: int) -> str:
    title = "One row" if rows == 1 else f"{rows:,} rows"
    heads = [
        "server",
        "body",
        "in flight",
        "requests/s",
        "rows/s",
        *_SHOWN,
        "above in process, ms",
    ]
    lines = [
        f"## {title} a request",
        "",
        f"| {' | '.join(heads)} |",
        f"|---|---|{'--:|' * (len(heads) - 2)}",
    ]
    shown = [_cells(medians, place) for place in medians.places if place.rows == rows]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in shown)])


def _cells(medians: Medians, place: Place) -> list[str]:
    rate = medians.of(place, _rate) or Spread(0.0, 0.0, 0.0)
    in_rows = Spread(*(place.rows * value for value in (rate.median, rate.low, rate.high)))
    cpu = medians.of(place, _SHOWN["server CPU, ms a request"])
    limit = medians.of(Place(in_process.NAME, "log_prob", place.rows, 1), lambda one: one.cpu_ms)
    above = "–" if cpu is None or limit is None else f"{cpu.median - limit.median:.3f}"
    shown = [str(medians.of(place, figure)) for figure in _SHOWN.values()]
    named = [place.server, place.kind, str(place.in_flight)]
    return [*named, str(rate), str(in_rows), *shown, above]


def _rate(figures: Figures) -> float:
    return figures.requests_s


def _other_cores(figures: Figures) -> float:
    return figures.other_cores


def _failures(medians: Medians) -> list[str]:
    if not medians.failures:
        return []
    lines = [
        f"- {place.server}, {place.kind}, {place.rows} rows, {place.in_flight} in flight: {why}"
        for place, why in medians.failures.items()
    ]
    return ["## Phases that failed", "\n".join(lines)]
