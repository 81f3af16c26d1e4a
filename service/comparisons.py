"""What champions and challengers said of the same rows, as metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# Of a row about which the champion decided: what the challenger made of it.
OUTCOMES = ("agree", "champion_only", "challenger_only", "unanswered")
AGREE, CHAMPION_ONLY, CHALLENGER_ONLY, UNANSWERED = range(len(OUTCOMES))
LABELS = ("replica", "model", "champion", "challenger")
_EDGES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5)
_BOUNDS = (*map(str, _EDGES), "+Inf")

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Rows that both were asked about; NaN is what cannot be told. Each of shape ``(rows,)``.

    Attributes:
        champion: Its p-values.
        challenger: Its p-values.
        gain: Log-density of the challenger less that of the champion, nats.
    """

    champion: Values
    challenger: Values
    gain: Values


@dataclass(slots=True)
class Tally:
    """Sums over the rows that a champion and a challenger were both asked about.

    Attributes:
        rows: By outcome.
        buckets: Rows by how far their p-values are apart.
        apart: Sum of how far they are.
        gained: Rows with two finite log-densities.
        gain: Sum over those of the challenger's less the champion's, nats.
        seconds: That the challenger took.
    """

    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(OUTCOMES), np.int64))
    buckets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(_BOUNDS), np.int64))
    apart: float = 0.0
    gained: int = 0
    gain: float = 0.0
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, compared: Compared, alphas: tuple[float, float]) -> None:
        """Count rows at the rates of false alarms of the champion and of the challenger."""
        decided = ~np.isnan(compared.champion)
        one, other = compared.champion[decided], compared.challenger[decided]
        first, second = one <= alphas[0], other <= alphas[1]
        outcome = np.where(first, CHAMPION_ONLY, CHALLENGER_ONLY)
        outcome[first == second] = AGREE
        outcome[np.isnan(other)] = UNANSWERED
        self.rows += np.bincount(outcome, minlength=len(OUTCOMES))
        apart = np.abs(one - other)[outcome != UNANSWERED]
        places = np.searchsorted(_EDGES, apart, side="left")
        self.buckets += np.bincount(places, minlength=len(_BOUNDS))
        self.apart += float(apart.sum())
        gain = compared.gain[np.isfinite(compared.gain)]
        self.gained += len(gain)
        self.gain += float(gain.sum())

    def took(self, seconds: float) -> None:
        """Add to the challenger's time; from any thread."""
        with self._lock:
            self.seconds += seconds


class Comparisons(Collector):
    """The tallies of all pairs that were compared; they stay when a comparison ends.

    Args:
        replica: Value of the label ``replica``.
    """

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._tallies: dict[tuple[str, ...], Tally] = {}

    def of(self, model: str, champion: int, challenger: int) -> Tally:
        """The tally of a pair."""
        return self._tallies.setdefault((model, str(champion), str(challenger)), Tally())

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        rows, ratio, apart, gain, seconds = _families()
        for pair, tally in self._tallies.items():
            key = (self._replica, *pair)
            for outcome, count in zip(OUTCOMES, tally.rows.tolist(), strict=True):
                rows.add_metric((*key, outcome), count)
            seconds.add_metric(key, tally.seconds)
            totals = zip(_BOUNDS, np.cumsum(tally.buckets).tolist(), strict=True)
            apart.add_metric(key, list(totals), tally.apart)
            if both := int(tally.rows[:UNANSWERED].sum()):
                ratio.add_metric(key, 1.0 - tally.rows[AGREE] / both)
            if tally.gained:
                gain.add_metric(key, tally.gain / tally.gained)
        return rows, ratio, apart, gain, seconds


def _families() -> tuple[
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    GaugeMetricFamily,
    CounterMetricFamily,
]:
    return (
        CounterMetricFamily(
            "logdet_compared_rows",
            "Rows that a champion decided about, by what its challenger made of them.",
            labels=(*LABELS, "outcome"),
        ),
        GaugeMetricFamily(
            "logdet_disagreement_ratio",
            "Share of the rows both decided about on which they disagree, since the start.",
            labels=LABELS,
        ),
        HistogramMetricFamily(
            "logdet_compared_p_value_difference", "How far p-values are apart.", labels=LABELS
        ),
        GaugeMetricFamily(
            "logdet_compared_log_prob_gain",
            "Mean log-density of the challenger less that of the champion, nats, since the start.",
            labels=LABELS,
        ),
        CounterMetricFamily(
            "logdet_challenger_seconds", "Time that challengers took.", labels=LABELS
        ),
    )
