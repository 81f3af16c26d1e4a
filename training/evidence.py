"""What a fitted flow tells of the normaliser of its target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Evidence:
    """The normaliser Z, the integral of exp(-E), by draws of a flow q.

    With the log weights w = -E(z) - log q(z): Z is the mean of exp(w), and log Z at least the mean
    of w, which falls short of it by the divergence of q from the target.

    Attributes:
        draws: Of the flow.
        log_normaliser: Logarithm of the mean weight, an estimate of log Z, nats.
        standard_error: Of that.
        effective_sample_size: Of the weights: as many equal ones would be as good.
        bound: Mean log weight, nats; on average a lower bound of log Z.
        bound_standard_error: Of that.
    """

    draws: int
    log_normaliser: float
    standard_error: float
    effective_sample_size: float
    bound: float
    bound_standard_error: float

    @classmethod
    def of(cls, log_weights: NDArray[np.float64]) -> Evidence:
        """From the log weights ``(draws,)`` in nats.

        Raises:
            ValueError: If some are not finite.
        """
        draws = len(log_weights)
        if bad := int((~np.isfinite(log_weights)).sum()):
            raise ValueError(
                f"expected a finite energy at every draw of the fitted flow, got {bad} of "
                f"{draws:,} that are not"
            )
        largest = log_weights.max()
        weights = np.exp(log_weights - largest)
        mean = weights.mean()
        return cls(
            draws=draws,
            log_normaliser=float(largest + np.log(mean)),
            # Of a logarithm: the relative error of what is inside.
            standard_error=float(weights.std(ddof=1) / mean / math.sqrt(draws)),
            effective_sample_size=float(weights.sum() ** 2 / (weights**2).sum()),
            bound=float(log_weights.mean()),
            bound_standard_error=float(log_weights.std(ddof=1) / math.sqrt(draws)),
        )
