"""How busy a replica is, for whoever decides how many of them there are."""

from __future__ import annotations

import time
from typing import NamedTuple

from service.gathering import Busy
from service.metrics import Metrics
from service.work import Work


class Load(NamedTuple):
    """What a replica has to do.

    Attributes:
        busy: Share of its time that is used: by its worker threads or by its event loop,
            whichever has less to spare. 1 is all of it.
        wait_s: Seconds that what is admitted will take, at the seconds a row that runs took of
            late.
    """

    busy: float
    wait_s: float


class Occupancy:
    """Measures one replica, on its event loop.

    Args:
        work: Its batcher.
        metrics: Count the seconds of its runs.
        workers: Runs that go on at once.
    """

    def __init__(self, work: Work, metrics: Metrics, workers: int) -> None:
        self._work, self._metrics, self._workers = work, metrics, workers
        self._loop = Busy()
        self._computed, self._at = metrics.computed_seconds(), time.perf_counter()

    def load(self) -> Load:
        """Since the last time that this was asked."""
        computed, at = self._metrics.computed_seconds(), time.perf_counter()
        passed = max(at - self._at, 1e-9) * self._workers
        runs = (computed - self._computed) / passed
        self._computed, self._at = computed, at
        return Load(max(runs, self._loop.share()), self._work.wait_s)
