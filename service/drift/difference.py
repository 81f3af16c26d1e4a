r"""Are the rows of a window like the calibration rows: tests that hold for any density.

All are of two samples, so that few calibration rows make them careful and never wrong. If the rows
are exchangeable, a p-value is at most p in at most a share p of all draws of both samples: by
inequalities, not by limits of many rows, because a test that is made at every look must hold far
out in the tail, where limits do not.

With n calibration rows and m of a window whose means differ by :math:`\delta`, the smaller sample
of k rows is one drawn without replacement from both together, of mean :math:`\mu` and variance
:math:`\sigma^2`, and its mean is off by :math:`\varepsilon = \delta \max(n, m) / (n + m)`. Such a
mean is no more spread than one drawn with replacement (Hoeffding, theorem 4), so that Bennett's
inequality holds of it:

.. math:: P(|\bar X - \mu| \ge \varepsilon) \le
   2 \exp\left(-\frac{k \sigma^2}{b^2} h\left(\frac{b \varepsilon}{\sigma^2}\right)\right),
   \quad h(u) = (1 + u) \ln(1 + u) - u,

where no value is further than b from :math:`\mu`.

References:
    Hoeffding, Probability inequalities for sums of bounded random variables (1963).
    Bennett, Probability inequalities for the sum of independent random variables (1962).
    Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality (1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from exported.latents import BOUND
from service.drift.sums import Sums

Values = NDArray[np.float64]
# Lowest and highest value of a bounded latent, and of its square.
_LOW, _HIGH = np.array([[-BOUND], [0.0]]), np.array([[BOUND], [BOUND**2]])
# Of ranks, in units of all of them, where none are tied; ties make it smaller.
_RANK_VARIANCE = 1.0 / 12.0


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """Of the rows of a window from the calibration rows.

    Attributes:
        shift: How much more often than not a row of the window scores over a calibration row: from
            -0.5 (always lower) to 0.5, 0 where neither is likelier.
        shift_p: Its p-value.
        distance: Largest difference of the shares of rows under a score, over the bins' edges.
        distance_p: Its p-value.
        latents: Shape ``(2, latents)``: mean and mean square of each latent in the window less
            those of the calibration rows, in deviations of the base and their squares.
        latents_p: Their p-values, shaped alike.
    """

    shift: float
    shift_p: float
    distance: float
    distance_p: float
    latents: Values
    latents_p: Values

    @classmethod
    def of(cls, window: Sums, ordinary: Sums) -> Self:
        """Of two samples; without a row to compare all p-values are 1."""
        n, m = ordinary.scored, window.scored
        shift, distance = 0.0, 0.0
        if m:
            shift = window.below / m - 0.5
            parts = [np.cumsum(sums.bins) / sums.scored for sums in (window, ordinary)]
            distance = float(np.abs(parts[0] - parts[1]).max())
        shift_p = _bennett((n, m), np.array(shift), np.array(_RANK_VARIANCE), np.array(0.5))
        apart, p = _latents(window, ordinary)
        return cls(shift, float(shift_p), distance, _massart((n, m), distance), apart, p)

    @property
    def smallest_p(self) -> float:
        """Of all tests."""
        return float(min(self.shift_p, self.distance_p, self.latents_p.min(initial=1.0)))


def number_of_tests(latents: int) -> int:
    """How many p-values a look has."""
    return 2 + 2 * latents


def _latents(window: Sums, ordinary: Sums) -> tuple[Values, Values]:
    n, m = ordinary.encoded, window.encoded
    if not (n and m):
        nothing = np.zeros((2, ordinary.powers.shape[1]))
        return nothing, nothing + 1.0
    mine, theirs = window.powers / m, ordinary.powers / n
    apart = mine[:2] - theirs[:2]
    both = (window.powers + ordinary.powers) / (n + m)
    middle, square = both[:2], both[1:]
    variance = np.maximum(square - middle**2, 0.0)
    furthest = np.maximum(_HIGH - middle, middle - _LOW)
    return apart, _bennett((n, m), apart, variance, furthest)


def _bennett(rows: tuple[int, int], apart: Values, variance: Values, furthest: Values) -> Values:
    """See the module; of two means that are apart, with what is known of both samples together."""
    k, larger = min(rows), max(rows)
    off = np.abs(apart) * larger / (k + larger)
    with np.errstate(divide="ignore", invalid="ignore"):  # of values that are all equal
        u = furthest * off / variance
        exponent = k * variance / furthest**2 * ((1.0 + u) * np.log1p(u) - u)
    p = np.minimum(2.0 * np.exp(-exponent), 1.0)
    return np.where(variance > 0.0, p, 1.0)


def _massart(rows: tuple[int, int], distance: float) -> float:
    r"""Of the largest distance of two distribution functions.

    Each is within c / sqrt(rows) of the true one but for a share :math:`2 e^{-2 c^2}`.
    """
    if not min(rows):
        return 1.0
    c = distance / sum(row**-0.5 for row in rows)
    return min(1.0, float(4.0 * np.exp(-2.0 * c**2)))
