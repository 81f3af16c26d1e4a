"""What the operations give back, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Codes = NDArray[np.uint8]

STATUSES = ("ok", "non_finite_input", "out_of_support", "not_converged")
OK, NON_FINITE_INPUT, OUT_OF_SUPPORT, NOT_CONVERGED = range(len(STATUSES))


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Rows seen through the encode map.

    Attributes:
        log_prob: Shape ``(rows,)``, nats; -inf out of support, NaN where there is no answer.
        z: Shape ``(rows, latent_features)``; NaN where the status is not ok.
        log_det: Shape ``(rows,)``, nats, of the encode map; NaN where the status is not ok.
        status: Shape ``(rows,)``, indices into :data:`STATUSES`.
    """

    log_prob: Floats
    z: Floats
    log_det: Floats
    status: Codes


@dataclass(frozen=True, slots=True)
class Explained:
    """Log-densities of rows and what each feature adds to them.

    Attributes:
        log_prob: As in :class:`Evaluated`.
        terms: Shape ``(rows, features)``, nats: of each feature given those before it. They sum to
            the log-density; NaN where the status is not ok.
        status: As in :class:`Evaluated`.
    """

    log_prob: Floats
    terms: Floats
    status: Codes


@dataclass(frozen=True, slots=True)
class Decoded:
    """Rows that the decode map made.

    Attributes:
        x: Shape ``(rows, features)``, in the user's units; float64 where a feature is constant,
            else as the graph computes it.
        log_prob: Shape ``(rows,)``, nats, of the rows in ``x``.
        status: As in :class:`Evaluated`.
    """

    x: Floats
    log_prob: Floats
    status: Codes


@dataclass(frozen=True, slots=True)
class Sampled:
    """Drawn rows and the seed that draws them again."""

    rows: Decoded
    seed: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Is a row unlikely enough to act on.

    Attributes:
        p_value: Shape ``(rows,)``; NaN where there is no log-density.
        is_anomaly: Shape ``(rows,)``; meaningless where the p-value is NaN.
        threshold: Log-density in nats under which a row is an anomaly.
        alpha: Accepted rate of false alarms.
    """

    p_value: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]
    threshold: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Scored:
    """Evaluated rows and the decision about each."""

    evaluated: Evaluated
    decision: Decision
