r"""Expectations under a density from a sample of it, each with its standard error.

Of rows :math:`x_1 \dots x_n` drawn from a density, :math:`\frac1n \sum_i h(x_i)` tends to
:math:`E[h(x)]` whatever :math:`h` is (the law of the unconscious statistician). Nothing here
assumes a shape of the density, only that its second moment is finite where a mean is asked for,
and its fourth where a variance is: of heavier tails neither they nor their errors can be told.

References:
    Mood, Graybill, Boes, Introduction to the theory of statistics (1974), section VI.2: the
    variance of a sample variance.
    Agresti, Coull, Approximate is better than "exact" for interval estimation of binomial
    proportions (1998). https://doi.org/10.2307/2685469
    Woodruff, Confidence intervals for medians and other position measures (1952).
    https://doi.org/10.2307/2280781
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.results import OK, Codes, Floats

DEFAULT_SAMPLES = 10_000

# Standard errors between the estimate and each end of the interval that a standard error is taken
# from, for a probability and a quantile; about 95 % of the intervals hold the truth.
INTERVAL_ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a feature, by its index."""

    feature: int


@dataclass(frozen=True, slots=True)
class Variance:
    """The variance of a feature, by its index."""

    feature: int


@dataclass(frozen=True, slots=True)
class Quantile:
    """The smallest value of a feature that a share ``0 < q < 1`` of the rows do not exceed."""

    feature: int
    q: float


@dataclass(frozen=True, slots=True)
class Probability:
    """The probability of a closed box: of every named feature between its two ends.

    Attributes:
        features: Indices of the features.
        low: Lower ends, one for each of them; -inf is open.
        high: Upper ends; inf is open.
    """

    features: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


Question = Mean | Variance | Quantile | Probability


@dataclass(frozen=True, slots=True)
class Estimate:
    """An answer; NaN for a number that the rows cannot tell."""

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of rows, whatever their number of features.

    Attributes:
        values: Shape ``(rows, features asked for)``.
        inside: Shape ``(rows, boxes)``, whether a row is in each box.
    """

    values: Floats
    inside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Questions:
    """Expectations to estimate from the same rows.

    Attributes:
        asked: In the order of the answers.
    """

    asked: tuple[Question, ...]

    def keep(self, x: Floats) -> Kept:
        """What the answers need of rows of shape ``(rows, features)``, as a copy."""
        boxes = [_inside(q, x) for q in self.asked if isinstance(q, Probability)]
        inside = np.stack(boxes, axis=1) if boxes else np.empty((len(x), 0), dtype=np.bool_)
        return Kept(x[:, list(self._features())], inside)

    def answer(self, kept: Kept) -> list[Estimate]:
        """The estimates; NaN where there are too few rows."""
        place = {feature: j for j, feature in enumerate(self._features())}
        boxes = iter(kept.inside.T)
        answers = []
        for question in self.asked:
            if isinstance(question, Probability):
                answers.append(_probability(next(boxes)))
            else:
                column = kept.values[:, place[question.feature]]
                answers.append(_of_column(question, column.astype(np.float64)))
        return answers

    def _features(self) -> tuple[int, ...]:
        named = {q.feature for q in self.asked if not isinstance(q, Probability)}
        return tuple(sorted(named))


@dataclass(frozen=True, slots=True)
class Expected:
    """Answers from the same rows.

    Attributes:
        estimates: In the order of the questions.
        samples: Rows drawn.
        excluded: Rows among them that take no part, as their status is not ok.
        seed: Draws them again.
    """

    estimates: tuple[Estimate, ...]
    samples: int
    excluded: int
    seed: int

    @classmethod
    def of(
        cls,
        questions: Questions,
        seed: int,
        values: Floats,
        inside: NDArray[np.bool_],
        status: Codes,
    ) -> Expected:
        """The answers to questions, from the arrays of :class:`Kept` and the rows' status."""
        ok = status == OK
        kept = Kept(values[ok], inside[ok])
        excluded = len(status) - len(kept.inside)
        return cls(tuple(questions.answer(kept)), len(status), excluded, seed)


def _inside(box: Probability, x: Floats) -> NDArray[np.bool_]:
    inside = np.ones(len(x), dtype=np.bool_)
    for feature, low, high in zip(box.features, box.low, box.high, strict=True):
        column = x[:, feature].astype(np.float64)  # a wide end is not rounded to a narrow column
        inside &= (column >= low) & (column <= high)
    return inside


def _of_column(question: Mean | Variance | Quantile, x: NDArray[np.float64]) -> Estimate:
    if not len(x):
        return Estimate(math.nan, math.nan)
    match question:
        case Mean():
            return _mean(x)
        case Variance():
            return _variance(x)
        case Quantile():
            return _quantile(x, question.q)


def _mean(x: NDArray[np.float64]) -> Estimate:
    n = len(x)
    centred = x - x[0]  # a constant column has its own value as mean, to the last digit
    mean = float(x[0] + centred.mean())
    return Estimate(mean, float(centred.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan)


def _variance(x: NDArray[np.float64]) -> Estimate:
    r"""With :math:`\operatorname{Var} s^2 = (\mu_4 - \frac{n-3}{n-1} \sigma^4) / n`."""
    n = len(x)
    if n < 2:
        return Estimate(math.nan, math.nan)
    shifted = x - x[0]
    squares = (shifted - shifted.mean()) ** 2
    variance = float(squares.sum()) / (n - 1)
    fourth = float((squares * squares).mean())
    spread = fourth - (n - 3) / (n - 1) * variance * variance
    return Estimate(variance, math.sqrt(max(spread, 0.0) / n))


def _probability(inside: NDArray[np.bool_]) -> Estimate:
    """The share inside; its error from that share with two rows more inside and two outside.

    So 0 of n rows is ``0`` with an error of about ``1.4 / n``, twice which is near the bound of
    95 % that no row inside allows, ``3 / n``.
    """
    n, hits = len(inside), int(inside.sum())
    if not n:
        return Estimate(math.nan, math.nan)
    added = INTERVAL_ERRORS**2
    p = (hits + added / 2.0) / (n + added)
    return Estimate(hits / n, math.sqrt(p * (1.0 - p) / n))


def _quantile(x: NDArray[np.float64], q: float) -> Estimate:
    """An order statistic; its error from those between which the quantile lies.

    The number of rows under the quantile is binomial, so the ranks of that interval depend on
    nothing but n and q. Where the rows beyond the quantile are too few for an end, it is NaN.
    """
    n = len(x)
    reach = INTERVAL_ERRORS * math.sqrt(n * q * (1.0 - q))
    first, last = math.floor(n * q - reach), math.ceil(n * q + reach)
    ordered = np.sort(x)
    value = float(ordered[min(max(math.ceil(n * q), 1), n) - 1])
    if first < 1 or last > n:
        return Estimate(value, math.nan)
    width = float(ordered[last - 1] - ordered[first - 1])
    return Estimate(value, width / (2.0 * INTERVAL_ERRORS))
