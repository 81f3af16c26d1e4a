r"""From a log-density to a decision: conformal p-values of calibration rows.

With :math:`n` calibration scores, :math:`p(s) = (1 + \#\{i : s_i \le s\}) / (n + 1)`. On rows
exchangeable with the calibration rows :math:`P(p \le \alpha) \le \alpha`, whatever the model.

References:
    Vovk, Gammerman and Shafer, Algorithmic learning in a random world (2005), section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.false_discoveries import rejection_level

SUMMARY_QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Sorted scores of rows that took no part in training or model choice.

    Attributes:
        scores: Shape ``(rows,)``, ascending, nats.
    """

    scores: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.floating]) -> Calibration:
        """Sort the scores.

        Raises:
            ValueError: If there are none, or one is NaN.
        """
        if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
            raise ValueError("expected a non-empty vector of calibration scores without NaN")
        return cls(np.sort(scores.astype(np.float64)))

    def p_value(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Conformal p-values, shape as given; NaN where the score is NaN."""
        below = np.searchsorted(self.scores, scores.astype(np.float64), side="right")
        p = (1.0 + below) / (len(self.scores) + 1.0)
        return np.where(np.isnan(scores), np.nan, p)

    @property
    def smallest_alpha(self) -> float:
        """The smallest p-value there is with so many rows."""
        return 1.0 / (len(self.scores) + 1.0)

    def threshold(self, alpha: float) -> float:
        """The score such that ``score < threshold`` and ``p_value <= alpha`` say the same.

        Raises:
            ValueError: If alpha is not in (0, 1), or too small for the number of rows.
        """
        self._check(alpha, "alpha")
        rows = len(self.scores)
        # Largest k with (1 + k) / (rows + 1) <= alpha, by the arithmetic of p_value itself.
        k = (
            int(np.searchsorted((1.0 + np.arange(rows + 1)) / (rows + 1.0), alpha, side="right"))
            - 1
        )
        return float(self.scores[k])

    def level(self, p_values: NDArray[np.float64], fdr: float) -> float | None:
        """The alpha of many rows at a false discovery rate; see :func:`rejection_level`.

        Raises:
            ValueError: If fdr is not in (0, 1), or so small that no p-values are ever rejected.
        """
        self._check(fdr, "fdr")
        return rejection_level(p_values, fdr)

    def quantiles(self) -> dict[str, float]:
        """The summary that the manifest carries, of the rows in support.

        Raises:
            ValueError: If none is.
        """
        finite = self.scores[np.isfinite(self.scores)]
        if not len(finite):
            raise ValueError("expected calibration rows in support, got none")
        values = np.quantile(finite, SUMMARY_QUANTILES)
        return {str(q): float(v) for q, v in zip(SUMMARY_QUANTILES, values, strict=True)}

    def _check(self, rate: float, called: str) -> None:
        if not 0.0 < rate < 1.0:
            raise ValueError(f"expected {called} between 0 and 1, got {rate}")
        if rate < self.smallest_alpha:
            raise ValueError(
                f"expected {called} of at least {self.smallest_alpha:.3g}, the smallest p-value "
                f"that {len(self.scores)} calibration rows give, got {rate}"
            )
