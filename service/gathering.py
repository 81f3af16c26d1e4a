"""Requests that a transport hands over one after the other: when they wait for each other.

Of connections that are read directly, a turn of the event loop brings whatever has arrived, and
one run answers all of it. grpc hands over one call at a time, and takes the next when the loop is
free: those that arrived together would have a run each. So while a short run of theirs goes on in
a thread, its line is held for those who come; and once it has ended, for those whom it answered,
because clients that wait for an answer send their next request then. That wait is for a loop
that has much to do, where it saves runs; one that has time answers each as it comes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

# How long a line is held after a run: while every tick brings another request or the loop is busy.
TICK_S, MOST_TICKS = 0.002, 10
# The share of its time from which on the loop has much to do.
BUSY = 0.5


class Busy:
    """How much of its time the calling thread has used."""

    def __init__(self) -> None:
        self._used, self._at = time.thread_time(), time.perf_counter()

    def share(self) -> float:
        """Since the last time that this was asked; 1 is all of it."""
        used, at = time.thread_time(), time.perf_counter()
        share = (used - self._used) / max(at - self._at, 1e-9)
        self._used, self._at = used, at
        return share


@dataclass(slots=True, eq=False)
class Gathering:
    """What a line knows of those who come one after the other.

    Attributes:
        is_held: Whether its requests wait for others.
        expected: As many requests as are waited for once a run has ended; 0 while it goes on.
        timer: Ends the wait.
    """

    is_held: bool = False
    expected: int = 0
    timer: asyncio.TimerHandle | None = None

    def is_complete(self, waiting: int) -> bool:
        """Whether those who are there are all who are expected."""
        return 0 < self.expected <= waiting

    def free(self) -> None:
        """Hold the line no longer."""
        self.is_held, self.expected = False, 0
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
