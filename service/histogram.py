"""Histograms of scores, in buckets that each model takes from its own calibration."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

_LABELS = ("replica", "model", "version")
# Requests whose scores are counted at once: each alone would cost more than its density.
_TOGETHER = 64
_MANY = 1024  # rows, which are not kept


class ScoreHistogram(Collector):
    """Scores in buckets that each model takes from its own calibration quantiles.

    A whole batch is counted at once, which prometheus_client's own histogram cannot do, nor can it
    have different buckets for different models. There is no sum: it may fall, and a counter that
    falls reads as a restart.

    Args:
        name: Of the metric.
        text: What it says of the scores.
        replica: Value of the label ``replica``.
    """

    def __init__(self, name: str, text: str, replica: str) -> None:
        self._name, self._text = name, text
        self._replica = replica
        self._edges: dict[tuple[str, ...], np.ndarray] = {}
        self._counts: dict[tuple[str, ...], np.ndarray] = {}
        self._waiting: dict[tuple[str, ...], list[np.ndarray]] = {}

    def add(self, key: tuple[str, ...], quantiles: Iterable[float]) -> None:
        """Begin a series at zero."""
        edges = np.unique(np.array(list(quantiles)))
        if np.array_equal(self._edges.get(key, []), edges):
            return  # loaded again: a count that falls would read as a restart
        self._edges[key] = edges
        self._counts[key] = np.zeros(len(edges) + 1, dtype=np.int64)
        self._waiting[key] = []

    def observe(self, key: tuple[str, ...], scores: np.ndarray) -> None:
        """Count finite scores, shape ``(rows,)``, which nobody changes any more."""
        waiting = self._waiting[key]
        waiting.append(scores)
        if len(waiting) >= _TOGETHER or len(scores) >= _MANY:
            self._count(key)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """See prometheus_client."""
        family = HistogramMetricFamily(self._name, self._text, labels=_LABELS)
        for key, edges in self._edges.items():
            self._count(key)
            totals = np.cumsum(self._counts[key]).tolist()
            names = [*map(str, edges.tolist()), "+Inf"]
            labels = dict(zip(_LABELS, (self._replica, *key), strict=True))
            family.add_metric(tuple(labels.values()), list(zip(names, totals, strict=True)), None)
            family.add_sample(f"{self._name}_count", labels, totals[-1])
        yield family

    def _count(self, key: tuple[str, ...]) -> None:
        waiting, self._waiting[key] = self._waiting[key], []
        if waiting:
            places = np.searchsorted(self._edges[key], np.concatenate(waiting), side="left")
            self._counts[key] += np.bincount(places, minlength=len(self._counts[key]))
