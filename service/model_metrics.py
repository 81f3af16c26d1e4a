"""The series of one model, ready to count: what answering requests touches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from prometheus_client import Counter, Histogram

from service.histogram import ScoreHistogram
from service.results import OK, STATUSES, Codes, Floats


@dataclass(frozen=True, slots=True)
class LaneMetrics:
    """Ready children of the series of one lane: the batcher's watch on it.

    Operations that share a lane share its series, under the name of one of them.
    """

    executions: Counter
    batch_rows: Histogram
    batch_requests: Histogram
    queue_seconds: Histogram
    compute_seconds: Histogram

    def ran(self, rows: int, requests: int, seconds: float) -> None:
        """See :meth:`service.lanes.Watch.ran`."""
        self.executions.inc()
        self.batch_rows.observe(rows)
        self.batch_requests.observe(requests)
        self.compute_seconds.observe(seconds)

    def waited(self, seconds: float) -> None:
        """See :meth:`service.lanes.Watch.waited`."""
        self.queue_seconds.observe(seconds)


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """Ready children of the series of one model; ``lane`` gives those of a lane by method."""

    rows: dict[str, Counter]
    statuses: tuple[Counter, ...]
    lane: Callable[[str], LaneMetrics]
    samples: Counter
    scores: ScoreHistogram
    key: tuple[str, ...]

    def answered(self, method: str, status: np.ndarray) -> None:
        """Count rows and what became of them."""
        self.rows[method].inc(len(status))
        if not status.any():  # the first of them, ok, is all there is
            self.statuses[0].inc(len(status))
            return
        for child, count in zip(
            self.statuses, np.bincount(status, minlength=len(STATUSES)).tolist(), strict=True
        ):
            if count:
                child.inc(count)

    def judged(self, score: Floats, status: Codes) -> None:
        """Put the scores of a client's rows into the histogram."""
        self.scores.observe(self.key, score[status == OK] if status.any() else score)

    def drew(self, samples: int) -> None:
        """Count samples that bounds took."""
        self.samples.inc(samples)
