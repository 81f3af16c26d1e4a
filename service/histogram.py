"""Histograms of scores and of their p-values, in buckets that each model's calibration gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from exported.calibration import Calibration

LABELS = ("replica", "model", "version")
# Buckets of p-values: the rates of false alarms that are asked for, then every tenth.
P_VALUES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Scores by what a manifest calls its own.
_SCORES = {
    "log_prob": "Log-densities of rows, nats.",
    "score": "Scores of rows: importance bounds of VAEs, nats; negative errors of autoencoders.",
}
_P_VALUE_TEXT = "p-values of scored rows among the calibration rows."
_QUANTILE_TEXT = "Scores of the calibration rows: that of each quantile."
# Requests whose scores are counted at once: each alone would cost more than its density.
_TOGETHER = 64
_MANY = 1024  # rows, which are not kept

Edges = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class _Tally:
    """Scores of one model, counted between the edges of both of its histograms."""

    scores: str
    quantiles: Mapping[str, float]
    score_edges: Edges
    p_value_edges: Edges
    edges: Edges = field(init=False)
    counts: NDArray[np.int64] = field(init=False)
    waiting: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.edges = np.unique(np.concatenate([self.score_edges, self.p_value_edges]))
        self.counts = np.zeros(len(self.edges) + 1, dtype=np.int64)

    def count(self) -> None:
        """Take in what waits."""
        waiting, self.waiting = self.waiting, []
        if waiting:
            places = np.searchsorted(self.edges, np.concatenate(waiting), side="left")
            self.counts += np.bincount(places, minlength=len(self.counts))

    def up_to(self, edges: Edges) -> list[int]:
        """Scores at or under each of some edges, then all."""
        totals = np.cumsum(self.counts)
        return [*totals[np.searchsorted(self.edges, edges)].tolist(), int(totals[-1])]


class ScoreHistograms(Collector):
    """What callers' rows scored: buckets between the quantiles of each model's calibration rows.

    A whole batch is counted at once, which prometheus_client's own histogram cannot do, nor can it
    have different buckets for different models. A p-value falls with its score, so that one search
    counts both. There are no sums: that of scores may fall, and a counter that falls reads as a
    restart.

    Args:
        replica: Value of the label ``replica``.
    """

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._tallies: dict[tuple[str, ...], _Tally] = {}

    def add(
        self,
        key: tuple[str, ...],
        scores: str,
        quantiles: Mapping[str, float],
        calibration: Calibration,
    ) -> None:
        """Begin the series of a model at zero.

        Args:
            key: Its name and version.
            scores: What its manifest calls its scores: ``log_prob`` or ``score``.
            quantiles: Of its calibration rows, by probability.
            calibration: Those rows.
        """
        p_value_edges = np.array([_score_at(calibration, p) for p in P_VALUES])
        tally = _Tally(scores, quantiles, np.unique(list(quantiles.values())), p_value_edges)
        before = self._tallies.get(key)
        if before is None or not np.array_equal(before.edges, tally.edges):
            self._tallies[key] = tally  # else loaded again: a count that falls reads as a restart

    def observe(self, key: tuple[str, ...], scores: np.ndarray) -> None:
        """Count finite scores, shape ``(rows,)``, which nobody changes any more."""
        tally = self._tallies[key]
        tally.waiting.append(scores)
        if len(tally.waiting) >= _TOGETHER or len(scores) >= _MANY:
            tally.count()

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        by_score = {
            name: HistogramMetricFamily(f"logdet_{name}", text, labels=LABELS)
            for name, text in _SCORES.items()
        }
        p_value = HistogramMetricFamily("logdet_p_value", _P_VALUE_TEXT, labels=LABELS)
        quantile = GaugeMetricFamily(
            "logdet_calibration_score", _QUANTILE_TEXT, labels=(*LABELS, "quantile")
        )
        for (model, version), tally in self._tallies.items():
            tally.count()
            key = (self._replica, model, version)
            names = [str(edge) for edge in tally.score_edges.tolist()]
            _add(by_score[tally.scores], key, names, tally.up_to(tally.score_edges))
            _add(p_value, key, list(map(str, P_VALUES)), tally.up_to(tally.p_value_edges))
            for probability, score in tally.quantiles.items():
                quantile.add_metric((*key, probability), score)
        return *by_score.values(), p_value, quantile


def _score_at(calibration: Calibration, p: float) -> float:
    """The largest score whose p-value is at most that."""
    if p < calibration.smallest_alpha:
        return -np.inf
    return float(np.nextafter(calibration.threshold(p), -np.inf))


def _add(
    family: HistogramMetricFamily, key: tuple[str, ...], names: list[str], totals: list[int]
) -> None:
    family.add_metric(key, list(zip([*names, "+Inf"], totals, strict=True)), None)
    labels = dict(zip(LABELS, key, strict=True))
    family.add_sample(f"{family.name}_count", labels, totals[-1])
