"""Requests on their way through the batcher, and their parts in runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.tracing.spans import Trace

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Take = Callable[[int, int], Array]


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way through.

    Attributes:
        rows: How many it has.
        take: Gives rows ``start`` to ``stop``.
        done: Its answer.
        admitted: When it came, by :func:`time.perf_counter`.
        row_seconds: What a row of it is known to cost.
        comes_alone: See :mod:`service.arrival`.
        trace: Of its request, where that is traced.
        next_row: First row that is in no run yet.
        delivered: Rows that have been answered.
        pieces: Answers so far, each with the row it begins at.
    """

    rows: int
    take: Take
    done: asyncio.Future[Arrays]
    admitted: float
    row_seconds: float = 0.0
    comes_alone: bool = False
    trace: Trace | None = None
    next_row: int = 0
    delivered: int = 0
    pieces: list[tuple[int, Arrays]] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Rows that are in no run yet."""
        return self.rows - self.next_row

    @property
    def seconds_left(self) -> float:
        """What the rows that are not answered yet are known to cost."""
        return (self.rows - self.delivered) * self.row_seconds

    def cut(self, rows: int) -> Part:
        """The next rows, for a run."""
        part = Part(self, self.next_row, self.next_row + rows)
        self.next_row += rows
        return part

    def deliver(self, part: Part, arrays: Arrays) -> None:
        """Take a part's answer; the last one completes the request."""
        if self.done.done():
            return
        if part.stop - part.start == self.rows:
            self.delivered = self.rows
            self.done.set_result(arrays)
            return
        self.pieces.append((part.start, arrays))
        self.delivered += part.stop - part.start
        if self.delivered == self.rows:
            self.done.set_result(_joined(self.pieces))

    def fail(self, error: BaseException) -> None:
        """End the request with an error."""
        if not self.done.done():
            self.done.set_exception(error)


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` of a job."""

    job: Job
    start: int
    stop: int


def shares(jobs: Sequence[Job], limit: int) -> list[int]:
    """Rows each job may put into a run: even, and what the short ones leave goes to the long."""
    wanted = [job.left for job in jobs]
    if sum(wanted) <= limit:
        return wanted
    room = limit
    for place, i in enumerate(sorted(range(len(jobs)), key=wanted.__getitem__)):
        wanted[i] = min(wanted[i], room // (len(jobs) - place))
        room -= wanted[i]
    return wanted


def _joined(pieces: list[tuple[int, Arrays]]) -> Arrays:
    ordered = [arrays for _, arrays in sorted(pieces, key=lambda piece: piece[0])]
    return tuple(np.concatenate(column) for column in zip(*ordered, strict=True))
