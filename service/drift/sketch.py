"""One model's stream as this replica sees it: rows go in as they are answered, sums stay.

A request pays for putting its answer into a queue. Each :data:`BLOCK_ROWS` rows are then added up
and held against the calibration rows in one go: by the event loop where that is quick, in a thread
where many rows wait or these have many latents.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from exported.origin import moment, now
from service.drift.difference import Difference, number_of_tests
from service.drift.sums import Ordinary, Sums
from service.drift.windows import BLOCK_ROWS, LENGTHS, LOOKS, Windows
from service.results import Codes, Floats

# A block takes some tenths of a millisecond and 10 ns a latent of a row: the event loop is held up
# for no more than four of few latents, and for none of very many.
INLINE_BLOCKS = 4
# Blocks that came at once are added up, and looked at, so many at a time: the rows of the shortest
# window, each of which is looked at still, and fewer looks raise no more false alarms.
TOGETHER = 4
INLINE_CELLS = 2**16
LOG_EVERY_S = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Level:
    """At which p-value there is an alarm.

    Attributes:
        rate: False alarms to be expected in :data:`service.drift.windows.PER_ROWS` rows.
        tests: p-values that count in so many rows: each of each window at each look, of the
            replica that has the rows and of all replicas together.
    """

    rate: float
    tests: int

    @classmethod
    def of(cls, rate: float, latents: int) -> Self:
        """Of a model with so many latents."""
        return cls(rate, 2 * LOOKS * number_of_tests(latents))

    @property
    def p_value(self) -> float:
        """The largest at which there is an alarm."""
        return self.rate / self.tests

    def corrected(self, p_value: float) -> float:
        """For all that are looked at; there is an alarm where it is at most the rate."""
        return min(1.0, p_value * self.tests)


@dataclass(frozen=True, slots=True)
class State:
    """What a replica knows of the stream.

    Attributes:
        replica: Its name.
        rows: That it has seen.
        last: When it last saw any, ISO 8601 in UTC; None before the first.
        since: When its alarm began, ISO 8601 in UTC; None without one.
        alarms: That began.
        windows: Of each length.
    """

    replica: str
    rows: int
    last: str | None
    since: str | None
    alarms: int
    windows: tuple[Sums, ...]


class Sketch:
    """Of one model.

    Args:
        ordinary: Its calibration rows.
        rate: See :class:`Level`.
        name: Of the model and its version, for the log.

    Attributes:
        looks: The latest of each window; None before the first.
        rows: In complete blocks.
        last_s: When any were last seen, in seconds since 1970; None before the first.
        since: See :class:`State`.
        alarms: See :class:`State`.
    """

    def __init__(self, ordinary: Ordinary, rate: float, name: str) -> None:
        latents = ordinary.sums.powers.shape[1]
        self.ordinary, self.level = ordinary, Level.of(rate, latents)
        self.looks: list[tuple[int, Difference] | None] = [None for _ in LENGTHS]
        self.rows = self.alarms = 0
        self.since: str | None = None
        self.last_s: float | None = None
        self._name, self._logged_s = name, -math.inf
        self._windows = Windows(latents)
        self._is_alarmed = [False for _ in LENGTHS]
        self._has_latents = latents > 0
        self._waiting: deque[tuple[Floats, Floats | None, Codes]] = deque()
        cells = BLOCK_ROWS * max(latents, 1)
        self._inline_blocks = min(INLINE_BLOCKS, INLINE_CELLS // cells)
        # Rows by now: that came, which the event loop counts, and that no longer wait.
        self._came = self._added = 0
        self._is_thread_at_it = False
        self._adding = threading.Lock()

    def saw(self, score: Floats, z: Floats | None, status: Codes) -> None:
        """Take the answers about rows; on the event loop.

        Args:
            score: Shape ``(rows,)``.
            z: Shape ``(rows, latents)``; None of a model without.
            status: Shape ``(rows,)``.
        """
        self._waiting.append((score, z, status))
        self._came += len(status)
        self.last_s = time.time()
        blocks = (self._came - self._added) // BLOCK_ROWS
        if blocks < 1 or self._is_thread_at_it:
            return
        if blocks <= self._inline_blocks:
            self.add()
        else:
            self._is_thread_at_it = True
            asyncio.get_running_loop().run_in_executor(None, self._add_in_thread)

    def add(self) -> None:
        """Add up what waits, but for the last rows that fill no block; from any thread.

        What fails is logged and left out: whoever asked about the rows has an answer.
        """
        if not self._adding.acquire(blocking=False):
            return  # whoever is at it takes these as well, or the next to come does
        try:
            taken = []
            while self._waiting:
                taken.append(self._waiting.popleft())
            if taken:
                self._added += sum(len(status) for _, _, status in taken)
                self._add(*self._joined(taken))
        except Exception:
            log.exception("%s: rows could not be looked at for drift", self._name)
        finally:
            self._adding.release()

    def _add_in_thread(self) -> None:
        try:
            self.add()
        finally:
            self._is_thread_at_it = False

    def state(self, replica: str) -> State:
        """Of now, without the rows that fill no block."""
        with self._adding:
            sums = tuple(self._windows.sums(place) for place in range(len(LENGTHS)))
            last = None if self.last_s is None else moment(self.last_s)
            return State(replica, self.rows, last, self.since, self.alarms, sums)

    def _joined(
        self, taken: list[tuple[Floats, Floats | None, Codes]]
    ) -> tuple[Floats, Floats | None, Codes]:
        scores, latents, statuses = zip(*taken, strict=True)
        z = np.concatenate(latents) if self._has_latents else None
        return np.concatenate(scores), z, np.concatenate(statuses)

    def _add(self, score: Floats, z: Floats | None, status: Codes) -> None:
        whole = len(status) - len(status) % BLOCK_ROWS
        for start in range(0, whole, TOGETHER * BLOCK_ROWS):
            rows = slice(start, min(start + TOGETHER * BLOCK_ROWS, whole))
            blocks = (rows.stop - start) // BLOCK_ROWS
            latents = None if z is None else z[rows]
            moved: set[int] = set()
            for block in self.ordinary.of_each(score[rows], latents, status[rows], blocks):
                moved.update(self._windows.add(block))
                self.rows += BLOCK_ROWS
            self._look(moved)
        if whole < len(status):
            rest = slice(whole, None)  # copied: a view would keep all of a large request
            left = None if z is None else z[rest].copy()
            self._waiting.appendleft((score[rest].copy(), left, status[rest].copy()))
            self._added -= len(status) - whole

    def _look(self, moved: Iterable[int]) -> None:
        for place in moved:
            window = self._windows.sums(place)
            found = Difference.of(window, self.ordinary.sums)
            self.looks[place] = window.scored, found
            self._is_alarmed[place] = found.smallest_p <= self.level.p_value
        if not any(self._is_alarmed):
            self.since = None
        elif self.since is None:
            self.since = now()
            self.alarms += 1
            self._log()

    def _log(self) -> None:
        """Say so, but not of every alarm of a stream that is about to raise one."""
        if time.monotonic() - self._logged_s < LOG_EVERY_S:
            return
        self._logged_s = time.monotonic()
        length = LENGTHS[self._is_alarmed.index(True)]
        log.warning(
            "%s: the last %d rows are unlike the calibration rows; /v1/models/%s/drift says how",
            *(self._name, length, self._name.partition("/")[0]),
        )
