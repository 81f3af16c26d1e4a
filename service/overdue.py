"""Ends requests that take longer than any may, with one timer for all of them."""

from __future__ import annotations

import asyncio
import time

from service.jobs import Job


class Overdue:
    """Fails every job that is older than allowed with :class:`TimeoutError`.

    A timer for each request would cost as much as its density.

    Args:
        seconds: That a job may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[Job, None] = {}  # in the order in which they came
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def jobs(self) -> list[Job]:
        """Those that are open."""
        return list(self._open)

    def add(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Watch a job, which has just been admitted."""
        self._open[job] = None
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)

    def remove(self, job: Job) -> None:
        """Watch a job no longer."""
        del self._open[job]

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = time.perf_counter()
        for job in self._open:
            left = job.admitted + self._seconds - now
            if left > 0:
                self._timer = loop.call_later(left, self._look, loop)
                return
            job.fail(TimeoutError())
