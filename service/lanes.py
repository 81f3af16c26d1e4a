"""Requests that wait for the same graph, and how they share its next run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Take = Callable[[int, int], Array]
Run = Callable[[Array], Arrays]

_SMOOTHING = 0.2  # weight of the newest run in a lane's memory of durations


class Watch(Protocol):
    """Told what happens in a lane."""

    def ran(self, rows: int, requests: int, seconds: float) -> None:
        """A run of some rows for some requests took so long."""

    def waited(self, seconds: float) -> None:
        """A request's first rows went into a run."""


@dataclass(slots=True, eq=False)
class Lane:
    """Requests that may share a run.

    Attributes:
        run: Maps rows ``(rows, columns)`` to arrays with one entry per row; called in a worker.
        watch: Told of every run.
        limit: Most rows of one run, where these are fewer than the batcher's.
        waiting: Jobs with rows not yet in a run.
    """

    run: Run
    watch: Watch
    limit: int | None = None
    waiting: deque[Job] = field(default_factory=deque)
    _seconds: dict[int, float] = field(default_factory=dict)

    def cut(self, limit: int) -> list[Part]:
        """The next run: at most ``limit`` rows, shared evenly among the waiting jobs."""
        limit = limit if self.limit is None else min(limit, self.limit)
        jobs: list[Job] = []
        while self.waiting and len(jobs) < limit:
            job = self.waiting.popleft()
            if not job.done.done():
                jobs.append(job)
        parts = [job.cut(share) for job, share in zip(jobs, _shares(jobs, limit), strict=True)]
        self.waiting.extend(job for job in jobs if job.left)
        return parts

    def expected_seconds(self, rows: int) -> float:
        """How long a run of about so many rows took of late; infinite if there was none."""
        return self._seconds.get(rows.bit_length(), float("inf"))

    def ran(self, rows: int, requests: int, seconds: float) -> None:
        """Remember a run and tell the watch."""
        before = self._seconds.get(rows.bit_length(), seconds)
        self._seconds[rows.bit_length()] = before + _SMOOTHING * (seconds - before)
        self.watch.ran(rows, requests, seconds)


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way through.

    Attributes:
        rows: How many it has.
        take: Gives rows ``start`` to ``stop``.
        done: Its answer.
        admitted: When it came, by :func:`time.perf_counter`.
        next_row: First row that is in no run yet.
        delivered: Rows that have been answered.
        pieces: Answers so far, each with the row it begins at.
    """

    rows: int
    take: Take
    done: asyncio.Future[Arrays]
    admitted: float
    next_row: int = 0
    delivered: int = 0
    pieces: list[tuple[int, Arrays]] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Rows that are in no run yet."""
        return self.rows - self.next_row

    def cut(self, rows: int) -> Part:
        """The next rows, for a run."""
        part = Part(self, self.next_row, self.next_row + rows)
        self.next_row += rows
        return part

    def deliver(self, part: Part, arrays: Arrays) -> None:
        """Take a part's answer; the last one completes the request."""
        if self.done.done():
            return
        self.pieces.append((part.start, arrays))
        self.delivered += part.stop - part.start
        if self.delivered == self.rows:
            self.done.set_result(_joined(self.pieces))

    def fail(self, error: BaseException) -> None:
        """End the request with an error."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows ``start`` to ``stop`` of a job."""

    job: Job
    start: int
    stop: int


def _shares(jobs: Sequence[Job], limit: int) -> list[int]:
    """Rows each job may put into a run: even, and what the short ones leave goes to the long."""
    shares = [job.left for job in jobs]
    if sum(shares) <= limit:
        return shares
    room = limit
    for place, i in enumerate(sorted(range(len(jobs)), key=shares.__getitem__)):
        shares[i] = min(shares[i], room // (len(jobs) - place))
        room -= shares[i]
    return shares


def _joined(pieces: list[tuple[int, Arrays]]) -> Arrays:
    if len(pieces) == 1:
        return pieces[0][1]
    ordered = [arrays for _, arrays in sorted(pieces, key=lambda piece: piece[0])]
    return tuple(np.concatenate(column) for column in zip(*ordered, strict=True))
