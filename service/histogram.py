"""The histogram of log-densities, in buckets that each model takes from its own calibration."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

_LABELS = ("replica", "model", "version")


class LogProbHistogram(Collector):
    """Log-densities in buckets that each model takes from its own calibration quantiles.

    A whole batch is counted at once, which prometheus_client's own histogram cannot do, nor can it
    have different buckets for different models. There is no sum: it may fall, and a counter that
    falls reads as a restart.
    """

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._edges: dict[tuple[str, ...], np.ndarray] = {}
        self._counts: dict[tuple[str, ...], np.ndarray] = {}

    def add(self, key: tuple[str, ...], quantiles: Iterable[float]) -> None:
        """Begin a series at zero."""
        self._edges[key] = np.unique(np.array(list(quantiles)))
        self._counts[key] = np.zeros(len(self._edges[key]) + 1, dtype=np.int64)

    def observe(self, key: tuple[str, ...], log_prob: np.ndarray) -> None:
        """Count finite log-densities, shape ``(rows,)``."""
        places = np.searchsorted(self._edges[key], log_prob, side="left")
        self._counts[key] += np.bincount(places, minlength=len(self._counts[key]))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """See prometheus_client."""
        family = HistogramMetricFamily(
            "logdet_log_prob", "Log-densities of rows, nats.", labels=_LABELS
        )
        for key, edges in self._edges.items():
            totals = np.cumsum(self._counts[key]).tolist()
            names = [*map(str, edges.tolist()), "+Inf"]
            labels = dict(zip(_LABELS, (self._replica, *key), strict=True))
            family.add_metric(tuple(labels.values()), list(zip(names, totals, strict=True)), None)
            family.add_sample("logdet_log_prob_count", labels, totals[-1])
        yield family
