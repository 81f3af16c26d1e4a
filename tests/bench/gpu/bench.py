"""Rounds over families, directions, batches and ways; what was measured is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from onnxruntime import InferenceSession

from service.runtime import Provider
from tests.bench.cells import Figures, Place, Record
from tests.bench.gpu import peaks, sessions, work
from tests.bench.gpu.expected import Expected, expected
from tests.bench.gpu.sessions import Answer, Bound, bound, opened
from tests.bench.graphs.ours import family_graph
from tests.bench.graphs.shelf import Shelf
from tests.bench.in_process import timed
from tests.bench.rounds import say

DIRECTIONS = ("log_prob", "decode")
PEAK = "peak"
_MESSAGE_LENGTH = 160


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        provider: Where; ``cpu`` to try the bench itself.
        families: Their names.
        batches: Rows of a call, ascending.
        ways: Of :mod:`tests.bench.gpu.sessions`.
        seconds: Of each.
        sides: Of the matrices that peaks are measured with.
    """

    provider: Provider
    families: Sequence[str]
    batches: Sequence[int]
    ways: Sequence[str]
    seconds: float
    sides: Mapping[str, int] = field(default_factory=lambda: peaks.SIDES)

    def places(self, family: str, direction: str) -> list[Place]:
        """Of a graph."""
        kind = kind_of(family, direction)
        return [Place(way, kind, rows, 1) for way in self.ways for rows in self.batches]


def kind_of(family: str, direction: str) -> str:
    """Of a graph's places."""
    return f"{family} {direction}"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements share.

    Attributes:
        plan: What is measured.
        record: Where figures are kept.
        shelf: Where graphs are kept.
    """

    plan: Plan
    record: Record
    shelf: Shelf

    def run(self, round_: int) -> None:
        """Measure what this round has not: first what the device can do, then every graph."""
        places = [Place(PEAK, kind, side, 1) for kind, side in self.plan.sides.items()]
        for place in self.record.missing(round_, places):
            self._keep(round_, place, partial(self._peak, place))
        for family, direction in self._graphs():
            missing = self.record.missing(round_, self.plan.places(family, direction))
            if missing:
                self._measure(round_, family, direction, missing)

    def lines(self) -> dict[str, work.Line]:
        """The work of every graph, by kind."""
        return {
            kind_of(family, direction): work.line(self._content(family, direction))
            for family, direction in self._graphs()
        }

    def _graphs(self) -> Iterator[tuple[str, str]]:
        return ((f, direction) for f in self.plan.families for direction in DIRECTIONS)

    def _content(self, family: str, direction: str) -> bytes:
        name = f"{family}_{direction}"
        return self.shelf.graph(name, lambda: family_graph(family, direction))

    def _peak(self, place: Place) -> Figures:
        call = peaks.call(place.kind, place.rows, self.plan.provider)
        return timed(call, self.plan.seconds)

    def _measure(self, round_: int, family: str, direction: str, places: list[Place]) -> None:
        content = self._content(family, direction)
        asked = expected(family, direction, content)
        opener = Opener(content, asked, self.plan.provider, self.plan.batches[-1])
        for place in places:
            self._keep(round_, place, partial(self._figures, opener, place))

    def _figures(self, opener: Opener, place: Place) -> Figures | str:
        call, answer = opener.call(place.server, place.rows)
        call()
        complaint = opener.asked.complaint(answer())
        if complaint:
            return complaint
        figures = timed(call, self.plan.seconds)
        # Of a recorded call the first answer is not yet that of a repetition.
        return opener.asked.complaint(answer()) or figures

    def _keep(self, round_: int, place: Place, measure: Callable[[], Figures | str]) -> None:
        try:
            outcome = measure()
        except sessions.REFUSED as error:
            outcome = reason(error)
        self.record.add(round_, place, outcome)
        what = f"{round_} {place.server}, {place.kind}, {place.rows} rows"
        if isinstance(outcome, str):
            say(f"{what}: {outcome}")
        else:
            say(f"{what}: {place.rows * outcome.requests_s:.0f} rows/s, {outcome.p50_ms:.3f} ms")


class Opener:
    """Sessions of one graph, opened when they are first needed.

    Args:
        content: The graph.
        asked: What it must answer.
        provider: Where it runs.
        most_rows: Of any batch.
    """

    def __init__(
        self, content: bytes, asked: Expected, provider: Provider, most_rows: int
    ) -> None:
        self.asked = asked
        self._content, self._provider, self._most_rows = content, provider, most_rows
        self._open: dict[str, InferenceSession] = {}

    def call(self, way: str, rows: int) -> tuple[Callable[[], object], Callable[[], Answer]]:
        """A call of a batch in some way, and the answer of the last one."""
        feed = self.asked.feed(rows)
        if way in (sessions.HOST, sessions.TENSORRT):
            session = self._session(way)
            return lambda: session.run(None, feed), lambda: session.run(None, feed)
        if way == sessions.CAPTURED:
            made = self._bound(opened(self._content, sessions.captured()), rows)
            return made.copied, made.answer
        made = self._bound(self._session(sessions.HOST), rows)
        return made.resident if way == sessions.RESIDENT else made.copied, made.answer

    def _bound(self, session: InferenceSession, rows: int) -> Bound:
        return bound(session, self.asked.feed(rows), self.asked.shapes(rows), self._provider)

    def _session(self, way: str) -> InferenceSession:
        if way not in self._open:
            self._open[way] = opened(self._content, self._providers(way))
        return self._open[way]

    def _providers(self, way: str) -> sessions.Providers:
        if way == sessions.HOST:
            return sessions.served(self._provider)
        features = self.asked.rows.shape[1]
        return sessions.tensorrt(self.asked.input, features, self._most_rows)


def reason(error: Exception) -> str:
    """Why there is no figure, in a sentence without paths."""
    told = str(error)
    if "out of memory" in told.lower() or "failed to allocate" in told.lower():
        return "the device has too little memory for it"
    words = " ".join(re.sub(r"\S*/\S*", "", told).split())
    return f"refused by onnxruntime: {words[:_MESSAGE_LENGTH]}"
