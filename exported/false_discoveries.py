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
    known = np.sort(p_values[~np.isnan(p_values)])
    levels = np.arange(1, len(known) + 1) * fdr / len(known)
    passing = np.flatnonzero(known <= levels)
    return float(levels[passing[-1]]) if len(passing) else None
