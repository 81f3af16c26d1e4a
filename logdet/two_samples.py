"""Are two samples of one distribution: the test of Kolmogorov and Smirnov."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Under this the limit's probability is 1 to twelve digits and its series no longer converges.
_CERTAIN = 0.2
_TERMS = 100


class Difference(NamedTuple):
    """How far two samples are apart.

    Attributes:
        statistic: Largest distance of their distribution functions, 0 to 1.
        p_value: Of samples of one distribution the share that are so far apart; of the limit of
            many rows, too large where rows are few or equal.
    """

    statistic: float
    p_value: float


def kolmogorov_smirnov(first: NDArray[np.floating], second: NDArray[np.floating]) -> Difference:
    r"""The largest distance D of two empirical distribution functions.

    With :math:`\lambda = D \sqrt{nm / (n + m)}` the p-value is
    :math:`2 \sum_{k \ge 1} (-1)^{k-1} e^{-2 k^2 \lambda^2}`.

    Args:
        first: Shape ``(n,)``, without NaN; infinities are values like others.
        second: Shape ``(m,)``, likewise.

    References:
        Smirnov, Table for estimating the goodness of fit of empirical distributions (1948).
        https://doi.org/10.1214/aoms/1177730256
    """
    both = np.concatenate([first, second])
    below = [np.searchsorted(np.sort(s), both, side="right") / len(s) for s in (first, second)]
    statistic = float(np.abs(below[0] - below[1]).max())
    size = len(first) * len(second) / (len(first) + len(second))
    return Difference(statistic, _limit(statistic * float(np.sqrt(size))))


def _limit(scaled: float) -> float:
    if scaled < _CERTAIN:
        return 1.0
    k = np.arange(1, _TERMS + 1)
    terms = np.exp(-2.0 * (k * scaled) ** 2)
    return float(np.clip(2.0 * (terms[::2].sum() - terms[1::2].sum()), 0.0, 1.0))
