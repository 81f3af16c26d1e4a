"""What follows from a log-density and a threshold on it, in scikit-learn's convention."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

Floats = NDArray[np.float64]


class Thresholded(ABC, OutlierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """An outlier detector whose score is a log-density.

    Attributes:
        offset_: The threshold, nats: of rows like the calibration rows a share of at most alpha
            scores below it.
    """

    offset_: float

    @abstractmethod
    def score_samples(self, X: ArrayLike) -> Floats:
        """Log-density of rows ``(rows, features)``, nats, shape ``(rows,)``; -inf out of support.

        Raises:
            ValueError: If X is not a table of finite numbers with the columns of the fit.
        """

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean of :meth:`score_samples`, nats per row; -inf if a row is out of support."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X: ArrayLike) -> Floats:
        """Nats above the threshold, shape ``(rows,)``; negative for outliers."""
        check_is_fitted(self)
        scores = self.score_samples(X)
        # A threshold may be -inf, and the distance of -inf from it would be NaN.
        return np.subtract(
            scores, self.offset_, out=np.zeros_like(scores), where=scores != self.offset_
        )

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """-1 for outliers and 1 for inliers, shape ``(rows,)``."""
        return np.where(self.decision_function(X) >= 0.0, 1, -1)
