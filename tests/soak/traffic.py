"""Clients that ask at a steady rate, a bounded number of times, and compare every answer."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.soak import misuse
from tests.soak.questions import Question
from tests.soak.ways import Doors, ways

PAGES = (
    "/metrics",
    "/v1/models",
    "/healthz",
    "/v2/health/ready",
    "/v2/models/gauss",
    "/openapi.json",
)
# Of a hundred requests.
BAD, GONE, LOOK = 4, 3, 2
SHOWN = 20


@dataclass(slots=True)
class Tally:
    """What came of the requests.

    Attributes:
        sent: By kind.
        rows: Answered and compared.
        failed: Requests that were not answered as they should have been, by kind.
        wrong: Answers with a wrong value, by kind.
        reasons: The first of both, in words.
    """

    sent: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, rows: int) -> None:
        """A request that was answered as it should be."""
        with self.lock:
            self.sent[kind] += 1
            self.rows += rows

    def blame(self, counts: Counter[str], kind: str, reason: str) -> None:
        """A request that was not."""
        with self.lock:
            self.sent[kind] += 1
            counts[kind] += 1
            if len(self.reasons) < SHOWN:
                self.reasons.append(f"{kind}: {reason}")


class Traffic:
    """A mix of all questions by all protocols.

    Args:
        url: Of the service.
        address: Of its gRPC.
        questions: What is asked; each as often as any other of its size.
        requests: How many in all.
        rate: Requests a second, over all clients.
        clients: Threads, each with its own connections.
    """

    def __init__(
        self, url: str, address: str, questions: Sequence[Question], requests: int, rate: float,
        clients: int = 4,
    ) -> None:  # fmt: skip
        self.tally = Tally()
        self._where = (url, address)
        self._questions = questions
        # One of 20,000 rows costs as much as two hundred of one.
        self._weights = [1.0 / (1.0 + _rows(question) / 200.0) for question in questions]
        self._requests, self._rate = requests, rate
        self._threads = [threading.Thread(target=self._client, args=(i,)) for i in range(clients)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def is_over(self) -> bool:
        """Whether every request was sent."""
        return not any(thread.is_alive() for thread in self._threads)

    def _client(self, number: int) -> None:
        draw = random.Random(number)  # noqa: S311 - the same mix every time
        begun = time.monotonic()
        with Doors(*self._where) as doors:
            for place in range(number, self._requests, len(self._threads)):
                time.sleep(max(0.0, begun + place / self._rate - time.monotonic()))
                self._send(draw, doors)

    def _send(self, draw: random.Random, doors: Doors) -> None:
        kind = draw.randrange(100)
        if kind < BAD:
            self._misuse(draw, doors)
        elif kind < BAD + GONE:
            misuse.gone(draw, doors)
            self.tally.count("gone", 0)
        elif kind < BAD + GONE + LOOK:
            self._look(draw, doors)
        else:
            self._ask(draw, doors)

    def _misuse(self, draw: random.Random, doors: Doors) -> None:
        told = misuse.refused(draw, doors)
        if told is None:
            self.tally.count("bad", 0)
        else:
            self.tally.blame(self.tally.failed, "bad", told)

    def _look(self, draw: random.Random, doors: Doors) -> None:
        page = draw.choice(PAGES)
        status = doors.http.get(page).status_code
        if status == 200:
            self.tally.count("page", 0)
        else:
            self.tally.blame(self.tally.failed, "page", f"{page}: {status}")

    def _ask(self, draw: random.Random, doors: Doors) -> None:
        asked = draw.choices(self._questions, self._weights)[0]
        way = draw.choice(ways(asked))
        kind = way.__name__
        try:
            got = way(asked, doors)
        except Exception as error:  # whatever it is, it is counted and told
            self.tally.blame(self.tally.failed, kind, f"{_name(asked)}: {error!r}")
            return
        try:
            asked.check(got)
        except (AssertionError, KeyError) as error:
            self.tally.blame(self.tally.wrong, kind, f"{_name(asked)}: {error}")
            return
        self.tally.count(kind, _rows(asked))


def _rows(asked: Question) -> int:
    return len(asked.expected["status"])


def _name(asked: Question) -> str:
    return f"{asked.model}/{asked.operation} of {_rows(asked)} rows"
