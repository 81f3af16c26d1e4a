"""The thread in which answers that were given are checked, at a cost that is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, Full, Queue

from service.metrics import Metrics
from service.model import Model
from service.selfcheck import Given, Picks, SelfCheck
from service.selfcheck_bounds import Bounds
from service.selfcheck_metrics import SelfCheckSeries

# Answers that wait; others are dropped and counted. Memory is this many rows.
WAITING = 64
# Answers checked in one run. It borrows a session of decode: who wants all of them may wait for
# as long as decode takes for so many rows.
AT_ONCE = 16
# Most of a processor that checks may take: after each the thread rests for as much longer. Rows
# whose decode is dear are so checked less often, and cheap ones no less than asked for.
SHARE = 0.01
CLOSING_S = 1.0

_Waiting = tuple[SelfCheck, Given]


class Checker:
    """Checks answers of all models of a replica, one run at a time.

    The thread has the priority of any other: one that is set back while it holds the
    interpreter's lock would hold up all.

    Args:
        every: Rows that count for one that is checked; 0 for none.
        metrics: Of the replica.
    """

    def __init__(self, every: int, metrics: Metrics) -> None:
        self._every = every
        self._series = SelfCheckSeries(metrics.replica, metrics.registry)
        self._queue: Queue[_Waiting | None] = Queue(WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="self-check", daemon=True)

    def watch(self, model: Model) -> SelfCheck | None:
        """What looks at a model's answers; None where nothing is to be checked, or can be."""
        bounds = Bounds.of(model)
        if not (self._every and bounds.largest):
            return None
        manifest = model.manifest
        metrics = self._series.model((manifest.name, str(manifest.version)), bounds)
        return SelfCheck(model, bounds, metrics, Picks(self._every), self._offer)

    def close(self) -> None:
        """End the thread; what waits is not checked."""
        self._closing.set()
        with suppress(Full):  # it is at work then, and sees that this is closing
            self._queue.put_nowait(None)
        if self._thread.ident is not None:
            self._thread.join(CLOSING_S)

    def _offer(self, check: SelfCheck, given: Given) -> bool:
        if self._thread.ident is None:
            self._thread.start()
        try:
            self._queue.put_nowait((check, given))
        except Full:
            return False
        return True

    def _work(self) -> None:
        while waiting := self._next():
            started = time.thread_time()
            for check in dict.fromkeys(check for check, _ in waiting):
                check.run([given for of, given in waiting if of is check])
            spent = time.thread_time() - started
            if self._closing.wait(spent / SHARE - spent):
                return

    def _next(self) -> Sequence[_Waiting]:
        """What waits, at most so many; nothing at the end."""
        taken = [self._queue.get()]
        with suppress(Empty):
            while len(taken) < AT_ONCE:
                taken.append(self._queue.get_nowait())
        return [] if None in taken else [one for one in taken if one is not None]
