r"""Scores of a flow beside its log-density, all of them from one run; a lower one is stranger.

Of a row with latent :math:`z` and :math:`s_0 = \log p(x)`:

- ``typicality`` :math:`= -|s_0 - m|`, :math:`m` the mean log-density of reference rows
  (Nalisnick et al. 2019, section 3): low where a row is less likely than usual, or more.
- ``latent_norm`` :math:`= 2 \log b(z) + d \log 2\pi`, :math:`b` the base density, which is
  :math:`-\|z\|^2` of a standard normal one. A uniform base has the same density everywhere:
  there it is :math:`-\sum_j \Phi^{-1}(z_j)^2`.
- ``likelihood_ratio`` :math:`= s_0 - \log p_0(x)`, :math:`p_0` the density of a background
  (Ren et al. 2019, equation 1): what makes rows likely under any model cancels.
- ``combined`` :math:`= \sum_k \log q_k`, :math:`q_k` the p-value of each of log_prob, typicality
  and latent_norm among reference rows (Fisher's statistic; as these depend on each other it has no
  chi-square distribution, and calibration rows of its own). Under all of them it falls on in
  proportion, so that the strangest rows do not tie.

Each is a fixed function of a row: reference rows are neither training nor calibration rows. So
calibration rows and rows like them stay exchangeable, and p-values of every score keep their
guarantee. A mean that was taken over the calibration rows would have these as its own argument,
and a new row not.

References:
    Nalisnick, Matsukawa, Teh and Lakshminarayanan, Detecting out-of-distribution inputs to deep
    generative models using typicality (2019). https://arxiv.org/abs/1906.02994
    Ren et al., Likelihood ratios for out-of-distribution detection (2019).
    https://arxiv.org/abs/1906.02845
    Fisher, Statistical methods for research workers (1932), section 21.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from exported.base import base_log_prob
from exported.distributions import Base, Uniform
from exported.noise import normal_quantile

Floats = NDArray[np.float64]

LOG_PROB, TYPICALITY, LATENT_NORM = "log_prob", "typicality", "latent_norm"
LIKELIHOOD_RATIO, COMBINED = "likelihood_ratio", "combined"
# What the combined score is made of, and reference rows are kept of.
PARTS = (LOG_PROB, TYPICALITY, LATENT_NORM)
MAX_REFERENCE = 4096
# Half the distance from one to the float32 below it: what a uniform latent of a graph can tell
# at either end.
_UNIFORM_EDGE = 2.0**-25


@dataclass(frozen=True, slots=True)
class Reference:
    """What is kept of rows that only rows' scores are made with.

    Attributes:
        mean_log_prob: Of those in support, nats.
        scores: Of each of :data:`PARTS`, ascending, at most :data:`MAX_REFERENCE` of each.
    """

    mean_log_prob: float
    scores: Mapping[str, Floats]

    @classmethod
    def of(cls, base: Base, log_prob: NDArray[np.floating], z: NDArray[np.floating]) -> Self:
        """From rows that neither trained nor calibrate.

        Args:
            base: Of the flow.
            log_prob: Shape ``(rows,)``, nats; -inf out of support.
            z: Shape ``(rows, latent_features)``.

        Raises:
            ValueError: If no row is in support.
        """
        s = log_prob.astype(np.float64)
        inside = np.isfinite(s)
        if not inside.any():
            raise ValueError("expected reference rows in support, got none")
        mean = float(s[inside].mean())
        parts = {LOG_PROB: s, TYPICALITY: typicality(s, mean), LATENT_NORM: latent_norm(base, z)}
        known = ~np.isnan(s)
        return cls(
            mean,
            {name: _thinned(np.where(inside, part, s)[known]) for name, part in parts.items()},
        )

    def combined(self, parts: Mapping[str, Floats]) -> Floats:
        """Fisher's statistic of the scores of :data:`PARTS`, each of shape ``(rows,)``."""
        return np.asarray(
            sum(_log_p(known, parts[name]) for name, known in self.scores.items()), np.float64
        )


@dataclass(frozen=True, slots=True)
class Scorer:
    """Gives the scores that a bundle has.

    Attributes:
        base: Of the flow.
        names: The scores beside log_prob, in the order of the manifest.
        reference: None where none of them needs it.
    """

    base: Base
    names: Sequence[str] = ()
    reference: Reference | None = None

    def __call__(
        self,
        log_prob: NDArray[np.floating],
        z: NDArray[np.floating],
        background: NDArray[np.floating] | None = None,
    ) -> dict[str, Floats]:
        """The scores beside log_prob, each of shape ``(rows,)``.

        Args:
            log_prob: Shape ``(rows,)``. Where it is not finite every score is the same: -inf out
                of support, NaN without an answer.
            z: Shape ``(rows, latent_features)``.
            background: Log-densities under the background, where there is one.

        A row that has a log_prob and not another score, as where the background has no answer,
        has -inf for that one: it counts as strangest, and every score has the same rows.
        """
        s = log_prob.astype(np.float64)
        found = {LOG_PROB: s, LATENT_NORM: latent_norm(self.base, z)}
        if self.reference is not None:
            found[TYPICALITY] = typicality(s, self.reference.mean_log_prob)
            found[COMBINED] = self.reference.combined(found)
        if background is not None:
            with np.errstate(invalid="ignore"):  # of two infinities, which are no answers
                found[LIKELIHOOD_RATIO] = s - background
        inside = np.isfinite(s)
        told = {name: _or_strangest(found[name]) for name in self.names}
        return {name: np.where(inside, values, s) for name, values in told.items()}


def typicality(log_prob: Floats, mean: float) -> Floats:
    """Minus the distance from the mean log-density, nats."""
    return np.asarray(-np.abs(log_prob - mean))


def latent_norm(base: Base, z: NDArray[np.floating]) -> Floats:
    """Minus the squared norm of latents ``(rows, latent_features)``, or what stands for it."""
    wide = z.astype(np.float64)
    if isinstance(base, Uniform):
        inner = np.clip(wide, _UNIFORM_EDGE, 1.0 - _UNIFORM_EDGE)
        return np.asarray(-np.square(normal_quantile(inner)).sum(axis=1))
    return np.asarray(2.0 * base_log_prob(base, wide) + wide.shape[1] * math.log(2.0 * math.pi))


def _or_strangest(scores: Floats) -> Floats:
    return np.where(np.isfinite(scores), scores, -np.inf)


def _log_p(known: Floats, scores: Floats) -> Floats:
    """Logarithms of p-values among ascending scores, less where a score is under all of them.

    By one for each distance of the middle finite score from the lowest one.
    """
    below = np.searchsorted(known, scores, side="right")
    finite = known[np.isfinite(known)]
    spread = finite[len(finite) // 2] - finite[0]
    beyond = np.maximum(finite[0] - scores, 0.0) / (spread if spread > 0.0 else np.inf)
    return np.asarray(np.log((1.0 + below) / (len(known) + 1.0)) - beyond)


def _thinned(scores: Floats) -> Floats:
    """The scores in order; of many, those at evenly spread ranks."""
    ordered = np.sort(scores)
    if len(ordered) <= MAX_REFERENCE:
        return ordered
    ranks = (np.arange(MAX_REFERENCE) + 0.5) * len(ordered) / MAX_REFERENCE
    return np.asarray(ordered[ranks.astype(np.int64)])
