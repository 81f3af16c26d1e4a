r"""How many of ordinary rows are called anomalies: what one calibration, once drawn, allows.

Of m rows exchangeable with n calibration rows, those with a p-value of at most
:math:`\alpha = k / (n + 1)` are beta-binomial(m, k, n + 1 - k) where scores do not tie, and fewer
where they do.

References:
    Bates, Candès, Lei, Romano and Sesia, Testing for outliers with conformal p-values (2023),
    Annals of Statistics 51(1). https://arxiv.org/abs/2104.08279
"""

from __future__ import annotations

import math

import numpy as np

from exported.calibration import Calibration

# Nine of ten draws are within.
LOW, HIGH = 0.05, 0.95
# Of more rows the share hardly varies less: its spread is the calibration's.
MOST_ROWS = 200_000


def alarms(calibration: Calibration, alpha: float, rows: int) -> tuple[float, float]:
    """Between which numbers of so many ordinary rows nine of ten draws are."""
    n = len(calibration.scores)
    k = math.floor(alpha * (n + 1) * (1.0 + 1e-12))
    drawn = min(rows, MOST_ROWS)
    if not 0 < k <= n or not drawn:
        return (0.0, 0.0) if k <= 0 else (float(rows), float(rows))
    cumulative = np.cumsum(_pmf(drawn, k, n + 1 - k))
    found = np.searchsorted(cumulative, (LOW * cumulative[-1], HIGH * cumulative[-1]))
    low, high = (float(place) * rows / drawn for place in found)
    return low, high


def _pmf(m: int, a: int, b: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Beta-binomial probabilities of 0 to m, up to a factor, by the ratio of neighbours."""
    j = np.arange(m, dtype=np.float64)
    steps = np.log(m - j) + np.log(a + j) - np.log(j + 1.0) - np.log(b + m - j - 1.0)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(np.exp(logs - logs.max()))
