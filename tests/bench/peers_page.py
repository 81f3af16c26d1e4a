"""The page of ``make bench-peers``: server CPU of ours and of others, a table a kind of body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.bench import in_process
from tests.bench.cells import Figures, Place
from tests.bench.medians import Medians, short
from tests.bench.page import machine
from tests.bench.servers import EMBEDDED, GRID

# Kinds of bodies: their titles, what ours is sent, what others are.
COMPARED = (
    ("Open Inference Protocol, JSON", "JSON", "JSON"),
    ("Open Inference Protocol, binary tensors", "binary", "binary"),
    ("Open Inference Protocol, gRPC, raw tensors", "gRPC", "gRPC"),
    ("Rows in JSON, in each server's own form", "rows", "x"),
)
_METHOD = """\
Server CPU in milliseconds a request, user and system time of all processes of a server, by rows of
a request × requests in flight: median of the rounds [smallest–largest]. All serve the same graph
by onnxruntime on one thread and are sent the same bytes, but for rows in JSON. Those that batch
are measured at several settings, named by their numbers: of MLServer the most requests of a batch
and the seconds to wait, of LitServe the same behind its workers, of PyTriton the microseconds to
wait and the instances."""


def render(medians: Medians, rounds: int, seconds: float, notes: Sequence[str]) -> str:
    """The whole page; notes say what was not measured."""
    parts = [
        "# Beside other servers",
        f"`make bench-peers`: {machine()}. {rounds} rounds, phases of {seconds:g} s.",
        _METHOD,
        *notes,
        *(_section(medians, *compared) for compared in COMPARED),
        *_failures(medians),
    ]
    return "\n\n".join(parts) + "\n"


def _section(medians: Medians, title: str, ours: str, theirs: str) -> str:
    servers = dict.fromkeys(place.server for place in medians.places if place.kind == theirs)
    others = [name for name in servers if name != EMBEDDED]
    heads = [f"{rows:,} × {in_flight}" for rows, in_flight in GRID]
    lines = [
        f"## {title}",
        "",
        f"| server | {' | '.join(heads)} |",
        f"|---|{'--:|' * len(heads)}",
        _line(medians, "in process", [Place(in_process.NAME, "log_prob", r, 1) for r, _ in GRID]),
        _line(medians, "**logdet, embedded**", _places(EMBEDDED, ours)),
        *(_line(medians, name, _places(name, theirs)) for name in others),
        "",
        _verdict(medians, ours, [(name, theirs) for name in others]),
    ]
    return "\n".join(lines)


def _places(server: str, kind: str) -> list[Place]:
    return [Place(server, kind, *point) for point in GRID]


def _line(medians: Medians, name: str, places: Iterable[Place]) -> str:
    found = [medians.of(place, _cpu) for place in places]
    return f"| {name} | {' | '.join('–' if one is None else str(one) for one in found)} |"


def _cpu(figures: Figures) -> float:
    return figures.cpu_ms


def _verdict(medians: Medians, ours: str, others: Sequence[tuple[str, str]]) -> str:
    """How ours stands to the best of the others, at every size."""
    said = []
    for point in GRID:
        mine = medians.of(Place(EMBEDDED, ours, *point), _cpu)
        found = [(medians.of(Place(name, kind, *point), _cpu), name) for name, kind in others]
        best = min(((one.median, name) for one, name in found if one is not None), default=None)
        if mine is not None and best is not None:
            word = "ahead" if mine.median < best[0] else "BEHIND"
            ratio = short(mine.median / best[0])
            said.append(f"{point[0]:,} × {point[1]}: {word}, {ratio} of {best[1]}")
    return "Against the best of them: " + ("; ".join(said) or "nothing was measured") + "."


def _failures(medians: Medians) -> list[str]:
    if not medians.failures:
        return []
    lines = [
        f"- {place.server}, {place.kind}, {place.rows} × {place.in_flight}: {why[:200]}"
        for place, why in medians.failures.items()
    ]
    return ["## Phases that failed", "\n".join(lines)]
