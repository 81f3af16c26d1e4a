"""The series of one model, ready to count: what answering requests touches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from prometheus_client import Counter

from service.histogram import ScoreHistograms
from service.instruments import Spread, Value
from service.results import OK, STATUSES, Codes, Floats
from service.status import all_ok


@dataclass(frozen=True, slots=True)
class LaneMetrics:
    """Ready children of the series of one lane: the batcher's watch on it.

    Operations that share a lane share its series, under the name of one of them.
    """

    executions: Value
    batch_rows: Spread
    batch_requests: Spread
    queue_seconds: Spread
    compute_seconds: Spread

    def ran(self, rows: int, requests: int, seconds: float) -> None:
        """See :meth:`service.lanes.Watch.ran`."""
        self.executions.now += 1
        self.batch_rows.observe(rows)
        self.batch_requests.observe(requests)
        self.compute_seconds.observe(seconds)

    def waited(self, seconds: float) -> None:
        """See :meth:`service.lanes.Watch.waited`."""
        self.queue_seconds.observe(seconds)


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """Ready children of the series of one model; ``lane`` gives those of a lane by method."""

    rows: dict[str, Value]
    statuses: tuple[Value, ...]
    lane: Callable[[str], LaneMetrics]
    samples: Counter
    scores: ScoreHistograms
    key: tuple[str, ...]

    def answered(self, method: str, status: np.ndarray) -> None:
        """Count rows and what became of them."""
        self.rows[method].now += len(status)
        if all_ok(status):  # the first of them, ok, is all there is
            self.statuses[0].now += len(status)
            return
        counts = np.bincount(status, minlength=len(STATUSES)).tolist()
        for series, count in zip(self.statuses, counts, strict=True):
            series.now += count

    def judged(self, score: Floats, status: Codes) -> None:
        """Put the scores of a client's rows into the histogram."""
        self.scores.observe(self.key, score if all_ok(status) else score[status == OK])

    def drew(self, samples: int) -> None:
        """Count samples that bounds took."""
        self.samples.inc(samples)
