r"""How well scores separate labelled rows: rank statistics, their errors, and decisions.

AUROC is the probability that a positive row has a lower score than a negative one, ties counted
half; average precision is :math:`\sum_g (R_g - R_{g-1}) P_g` over the distinct scores from the
lowest, with the recall R and the precision P of all rows up to each.

Standard errors are of a bootstrap that draws positive and negative rows apart and the same rows
for every score, so that those of differences hold too.

References:
    Efron and Tibshirani, An introduction to the bootstrap (1993), section 8.3 (two samples).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

ALPHAS = (0.01, 0.05)
REPLICATES = 400
# A difference of more of its standard errors is told as one.
ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Decided:
    """What decisions at a rate of false alarms are like.

    Attributes:
        alpha: The rate.
        false_alarms: Share of the negative rows with a p-value up to it.
        power: Share of the positive ones.
    """

    alpha: float
    false_alarms: float
    power: float


@dataclass(frozen=True, slots=True)
class Separation:
    """Of one score.

    Attributes:
        auroc: Area under the receiver operating characteristic.
        average_precision: Of the positive rows.
        gain: Of the AUROC over that of the first score.
        decided: At each rate that the calibration rows can decide.
    """

    auroc: Estimate
    average_precision: Estimate
    gain: Estimate
    decided: tuple[Decided, ...]

    @property
    def differs(self) -> bool:
        """Whether the gain is beyond its error."""
        return abs(self.gain.value) > ERRORS * self.gain.standard_error


class Ranked:
    """Rows in the order of a score.

    Args:
        scores: Shape ``(rows,)``, a lower one is stranger; no NaN.
        positive: Shape ``(rows,)``, both kinds among them.
    """

    def __init__(self, scores: Floats, positive: Labels) -> None:
        found, self._place = np.unique(scores, return_inverse=True)
        self._places, self._positive = len(found), positive

    def statistics(self, counts: Floats) -> tuple[float, float]:
        """AUROC and average precision of rows that each count so many times."""
        p, n = (
            np.bincount(self._place, np.where(chosen, counts, 0.0), self._places)
            for chosen in (self._positive, ~self._positive)
        )
        positives, both = np.cumsum(p), np.cumsum(p + n)
        above = n.sum() - np.cumsum(n) + 0.5 * n
        precision = np.divide(positives, both, out=np.zeros_like(both), where=both > 0.0)
        total = p.sum()
        return float(p @ above / (total * n.sum())), float(p @ precision / total)


def separations(
    scores: Mapping[str, Floats],
    p_values: Mapping[str, Floats],
    positive: Labels,
    alphas: Sequence[float] = ALPHAS,
) -> dict[str, Separation]:
    """How well each score separates rows; gains are over the first of them.

    Args:
        scores: By name, each of shape ``(rows,)``; a lower one is stranger.
        p_values: By the same names.
        positive: Shape ``(rows,)``.
        alphas: Rates at which decisions are told.

    Raises:
        ValueError: If there are not two rows of each kind.
    """
    counts = int(positive.sum()), int((~positive).sum())
    if min(counts) < 2:
        raise ValueError(
            f"expected at least 2 positive and 2 negative rows, got {counts[0]} and {counts[1]}"
        )
    ranked = [Ranked(values, positive) for values in scores.values()]
    once = np.ones(len(positive))
    whole = np.array([one.statistics(once) for one in ranked])
    drawn = np.array([[one.statistics(c) for one in ranked] for c in _resampled(positive)])
    gains, drawn_gains = whole[:, 0] - whole[0, 0], drawn[..., 0] - drawn[:, :1, 0]
    errors, gain_errors = drawn.std(axis=0, ddof=1), drawn_gains.std(axis=0, ddof=1)
    return {
        name: Separation(
            auroc=Estimate(float(whole[i, 0]), float(errors[i, 0])),
            average_precision=Estimate(float(whole[i, 1]), float(errors[i, 1])),
            gain=Estimate(float(gains[i]), float(gain_errors[i])),
            decided=tuple(_decided(p_values[name], positive, alpha) for alpha in alphas),
        )
        for i, name in enumerate(scores)
    }


def _decided(p_value: Floats, positive: Labels, alpha: float) -> Decided:
    flagged = p_value <= alpha
    return Decided(alpha, float(flagged[~positive].mean()), float(flagged[positive].mean()))


def _resampled(positive: Labels) -> Iterator[Floats]:
    """How often each row is drawn, replicate by replicate: the same at every call."""
    rng = np.random.default_rng(0)
    kinds = np.flatnonzero(positive), np.flatnonzero(~positive)
    for _ in range(REPLICATES):
        counts = np.zeros(len(positive))
        for rows in kinds:
            counts[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
        yield counts
