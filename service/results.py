"""What the operations give back, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exported.scores import LOG_PROB

Floats = NDArray[np.floating]
Codes = NDArray[np.uint8]

STATUSES = ("ok", "non_finite_input", "out_of_support", "not_converged")
OK, NON_FINITE_INPUT, OUT_OF_SUPPORT, NOT_CONVERGED = range(len(STATUSES))


class Evaluated(NamedTuple):
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


class Judged(NamedTuple):
    """Rows by every score of a flow.

    Attributes:
        evaluated: What the run that they come of tells.
        scores: By name, beside log_prob, each of shape ``(rows,)``, in float64; -inf out of
            support and where only the score has no answer, NaN where log_prob has none.
    """

    evaluated: Evaluated
    scores: Mapping[str, Floats]

    def by(self, name: str) -> Floats:
        """One of the scores, log_prob among them."""
        return self.evaluated.log_prob if name == LOG_PROB else self.scores[name]


class Explained(NamedTuple):
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


class Decoded(NamedTuple):
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


class Sampled(NamedTuple):
    """Drawn rows and the seed that draws them again."""

    rows: Decoded
    seed: int


class Made(NamedTuple):
    """Rows that the decoder of an autoencoder made.

    Attributes:
        x: Shape ``(rows, features)``, in the user's units; NaN where the status is not ok.
        status: As in :class:`Evaluated`.
    """

    x: Floats
    status: Codes


class Drawn(NamedTuple):
    """Rows drawn from a VAE and their latents.

    Attributes:
        x: Shape ``(rows, features)``, in the user's units, integer columns whole.
        z: Shape ``(rows, latent_features)``.
        status: As in :class:`Evaluated`.
    """

    x: Floats
    z: Floats
    status: Codes


class Encoded(NamedTuple):
    """Latents of an autoencoder.

    Attributes:
        z: Shape ``(rows, latent_features)``; NaN where the status is not ok.
        status: As in :class:`Evaluated`.
    """

    z: Floats
    status: Codes


class Posterior(NamedTuple):
    """What a VAE thinks of the latents of rows; NaN where the status is not ok.

    Attributes:
        mean: Shape ``(rows, latent_features)``, of the Gaussian that the posterior begins with.
        scale: Shaped alike, its standard deviations.
        z: Shaped alike: a draw of it, or its centre, carried through the posterior's flow.
        status: As in :class:`Evaluated`.
    """

    mean: Floats
    scale: Floats
    z: Floats
    status: Codes


class Reconstructed(NamedTuple):
    """Rows as they come back from their latents; NaN where the status is not ok.

    Attributes:
        x: Shape ``(rows, features)``, in the user's units.
        error: Shape ``(rows,)``, root mean square difference in deviations of the features.
        status: As in :class:`Evaluated`.
    """

    x: Floats
    error: Floats
    status: Codes


class Bounded(NamedTuple):
    """Lower bounds on the log-density of rows, each of shape ``(rows,)``, in nats.

    The bounds are -inf out of support; NaN is what cannot be told.

    Attributes:
        elbo: Evidence lower bound: the mean of the log weights.
        elbo_standard_error: Of that mean.
        importance_bound: Logarithm of the mean weight.
        standard_error: Of the importance bound.
        effective_sample_size: As many equal weights would be as good.
        status: As in :class:`Evaluated`.
    """

    elbo: Floats
    elbo_standard_error: Floats
    importance_bound: Floats
    standard_error: Floats
    effective_sample_size: Floats
    status: Codes

    def by_name(self) -> dict[str, Floats]:
        """What is told of each row beside its status."""
        return {
            "elbo": self.elbo,
            "elbo_standard_error": self.elbo_standard_error,
            "importance_bound": self.importance_bound,
            "standard_error": self.standard_error,
            "effective_sample_size": self.effective_sample_size,
        }


class Decision(NamedTuple):
    """Is a row unlikely enough to act on.

    Attributes:
        p_value: Shape ``(rows,)``; NaN where there is no score.
        is_anomaly: Shape ``(rows,)``; meaningless where the p-value is NaN.
        threshold: Score under which a row is an anomaly: a log-density or a bound in nats, or a
            negative error of reconstruction. None where an fdr makes no row one.
        alpha: The p-value up to which a row is an anomaly: the accepted rate of false alarms, or
            what follows from the fdr and all p-values. None where the threshold is.
        calibration: SHA-256 of the file with the calibration scores, in hexadecimal.
        fdr: Accepted expected share of false alarms among the anomalies; None where alpha was
            chosen.
    """

    p_value: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]
    threshold: float | None
    alpha: float | None
    calibration: str
    fdr: float | None = None


class Scored(NamedTuple):
    """Scored rows and the decision about each.

    Attributes:
        score: Shape ``(rows,)``: the log-density of a flow, the importance bound of a VAE, the
            negative error of an autoencoder; -inf out of support, NaN without an answer.
        status: As in :class:`Evaluated`.
        decision: About each row.
    """

    score: Floats
    status: Codes
    decision: Decision
