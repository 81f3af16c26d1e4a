"""The page of ``make bench-gpu`` in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnxruntime

from tests.bench.cells import Figures, Place
from tests.bench.gpu import peaks
from tests.bench.gpu.bench import PEAK
from tests.bench.gpu.peaks import Peaks
from tests.bench.gpu.sessions import BOUND, CAPTURED, HOST, RESIDENT, TENSORRT
from tests.bench.gpu.work import Line
from tests.bench.medians import Medians, short

_NONE = "–"
_METHOD = """\
A call is that of the service: rows from the host, answers back to it, one call after the other on
one thread, TF32 off. Medians over the rounds. Before it is timed, a call's answers are compared
with the float64 flow's, to the tolerance that a bundle's golden rows have; a wrong answer has no
figure. Families have their default sizes and 16 features (`glow`: 8 × 8 pixels), loops 8 steps."""
_USE = """\
What a call has to compute in matrix products and convolutions, and what all its operators read
and write, each on its own, by the shapes of the graph on the CPU (of a table that is looked up in,
all of it); divided by the time of a call and by the peaks above. The larger one says what more
speed would have to come from; where both are small, calls wait for operators to start and for the
copies."""
_WAYS = {
    BOUND: "Inputs and outputs bound to memory on the device, copied in and out by each call.",
    RESIDENT: "The same without copies: what a call costs where rows are on the device already.",
    CAPTURED: "Bound and copied, the operators of a call recorded once and started together. Not "
    "for graphs with loops; one session for each number of rows.",
    TENSORRT: "TensorRT, which builds a program of its own for each graph; TF32 off, one round.",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What the page says beside the figures.

    Attributes:
        device: In words.
        rounds: How many there are, of what the service does.
        seconds: Of each measurement.
    """

    device: str
    rounds: int
    seconds: float


def render(medians: Medians, lines: Mapping[str, Line], told: Told) -> str:
    """The whole page.

    Args:
        medians: What was measured.
        lines: The work of every graph, by kind.
        told: The rest.
    """
    found = peaks_of(medians)
    parts = [
        "# The graphs on a GPU",
        f"`make bench-gpu`: {told.device}; onnxruntime {onnxruntime.__version__}. "
        f"{told.rounds} rounds of {told.seconds:g} s.",
        _METHOD,
        "Peaks of the device, by onnxruntime in the same run: "
        f"{found.products / 1e12:.3g} TFLOP/s in the {peaks.PRODUCT}, "
        f"{found.moved_bytes / 1e9:,.0f} GB/s in the {peaks.NEGATION}.",
        "## Rows a second",
        _table(medians, HOST, lambda place, one: short(place.rows * one.requests_s)),
        "## Milliseconds of a call, p50 / p99",
        _table(medians, HOST, lambda _, one: f"{one.p50_ms:.3g} / {one.p99_ms:.3g}"),
        "## Part of the peaks that is used: arithmetic / memory",
        _USE,
        _table(medians, HOST, lambda place, one: use(lines[place.kind], place.rows, one, found)),
        *_ways(medians),
        *_failures(medians),
    ]
    return "\n\n".join(parts) + "\n"


def peaks_of(medians: Medians) -> Peaks:
    """The device's, the median of the rounds; not a number where they could not be measured."""
    found = {peaks.PRODUCT: math.nan, peaks.NEGATION: math.nan}
    for place in medians.places:
        if place.server == PEAK:
            done = peaks.work(place.kind, place.rows)
            amount = done.products if place.kind == peaks.PRODUCT else done.moved_bytes
            found[place.kind] = amount * _median(medians, place).requests_s
    return Peaks(found[peaks.PRODUCT], found[peaks.NEGATION])


def use(line: Line, rows: int, one: Figures, found: Peaks) -> str:
    """Parts of the device's peaks that calls of a batch use."""
    work = line.at(rows)
    arithmetic = work.products * one.requests_s / found.products
    memory = work.moved_bytes * one.requests_s / found.moved_bytes
    return f"{arithmetic:.1%} / {memory:.1%}"


def _ways(medians: Medians) -> list[str]:
    ways = [way for way in _WAYS if any(place.server == way for place in medians.places)]

    def ratio(place: Place, one: Figures) -> str:
        served = medians.of(Place(HOST, place.kind, place.rows, 1), _rate)
        return _NONE if served is None else f"{one.requests_s / served.median:.2f}"

    heads = ["## Other ways, their speed as a multiple of that above"] if ways else []
    sections = ["\n\n".join((f"### {w}", _WAYS[w], _table(medians, w, ratio))) for w in ways]
    return heads + sections


def _table(medians: Medians, way: str, cell: Callable[[Place, Figures], str]) -> str:
    places = [place for place in medians.places if place.server == way]
    batches = sorted({place.rows for place in places})
    kinds = list(dict.fromkeys(place.kind for place in places))
    rows = [["graph", *(f"{rows:,}" for rows in batches)], ["---", *("--:" for _ in batches)]]
    for kind in kinds:
        at = [Place(way, kind, batch, 1) for batch in batches]
        there = [cell(one, _median(medians, one)) if one in places else _NONE for one in at]
        rows.append([kind, *there])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _median(medians: Medians, place: Place) -> Figures:
    def of(figure: Callable[[Figures], float]) -> float:
        found = medians.of(place, figure)
        return found.median if found else 0.0

    return Figures(0, of(_rate), of(lambda one: one.p50_ms), of(lambda one: one.p99_ms), 0, 0, 0)


def _rate(one: Figures) -> float:
    return one.requests_s


def _failures(medians: Medians) -> list[str]:
    by_reason: dict[tuple[str, str, str], list[int]] = {}
    for place, why in medians.failures.items():
        by_reason.setdefault((place.server, place.kind, why), []).append(place.rows)
    lines = [
        f"- {way}, {kind}, {', '.join(f'{rows:,}' for rows in sorted(batches))} rows: {why}"
        for (way, kind, why), batches in by_reason.items()
    ]
    return ["## Without a figure", "\n".join(lines)] if lines else []
