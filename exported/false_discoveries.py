r"""Many p-values at once: the level up to which they are anomalies at a false discovery rate.

Of :math:`m` p-values :math:`p_{(1)} \le \dots \le p_{(m)}`, with :math:`k` the largest :math:`i`
such that :math:`p_{(i)} \le i \cdot fdr / m`, those up to :math:`k \cdot fdr / m` are rejected.
Conformal p-values that share one set of calibration rows depend on each other, but positively
(PRDS): of rows of which a share :math:`\pi_0` is exchangeable with the calibration rows, the
expected share of these among the rejected is at most :math:`\pi_0 \cdot fdr`.

References:
    Benjamini and Hochberg, Controlling the false discovery rate: a practical and powerful approach
    to multiple testing (1995), Journal of the Royal Statistical Society B 57(1).
    Bates, Candès, Lei, Romano and Sesia, Testing for outliers with conformal p-values (2023),
    Annals of Statistics 51(1). https://arxiv.org/abs/2104.08279
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rejection_level(p_values: NDArray[np.float64], fdr: float) -> float | None:
    """The largest level of which the p-values up to it are rejected; None where none is.

    Args:
        p_values: Shape ``(rows,)``; NaN takes no part.
        fdr: Accepted expected share of false ones among the rejected, above 0 and below 1.
    """
    known, rows = np.unique(p_values[~np.isnan(p_values)], return_counts=True)
    return level_of_counts(known, rows, fdr)


def level_of_counts(
    p_values: NDArray[np.float64], rows: NDArray[np.int64], fdr: float
) -> float | None:
    """The same from how many rows have each p-value: there are few of these, however many rows.

    Args:
        p_values: Ascending, each once, shape ``(values,)``.
        rows: How many rows have it, shape ``(values,)``.
        fdr: As above.
    """
    up_to = np.cumsum(rows)
    levels = up_to * fdr / max(rows.sum(), 1)
    passing = np.flatnonzero(p_values <= levels)
    return float(levels[passing[-1]]) if len(passing) else None
