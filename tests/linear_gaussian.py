"""A linear-Gaussian model whose density is known in closed form, and its posteriors.

x = W z + b + σ ε with z and ε standard normal, so p(x) is normal, and so is p(z | x), with one
covariance for all rows. The posterior q is exact at depth 2 and a diagonal one at depth 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exported.distributions import StandardNormal
from exported.draws import bound_noise
from tests.bundles import COUNT_RANGE, SITE

Rows = NDArray[np.float64]

WEIGHTS = np.array([[1.6, 0.4], [-0.5, 1.0], [4.0, 3.0]])
CENTRE = np.array([10.0, -3.0, 40.0])
SIGMA = np.array([1.0, 0.5, 3.0])
DEVIATION = np.array([2.0, 1.2, 6.0])  # the unit of reconstruction errors
COVARIANCE = WEIGHTS @ WEIGHTS.T + np.diag(SIGMA**2)
OFFERED, DEFAULT_DEPTH = (0, 1, 2), 1
SAMPLES, SEED = 32, 5  # of scores

_LIKELIHOOD = WEIGHTS / (SIGMA**2)[:, None]
_POSTERIOR = np.linalg.inv(np.eye(2) + WEIGHTS.T @ _LIKELIHOOD)
GAIN = _LIKELIHOOD @ _POSTERIOR  # posterior mean = (x - centre) @ gain
ROOT = np.linalg.cholesky(_POSTERIOR)
DIAGONAL = np.diag(1.3 * np.sqrt(np.diag(_POSTERIOR)))
NORM = -0.5 * float(np.log(2.0 * math.pi * SIGMA**2).sum())
_NOISE = StandardNormal(distribution="standard_normal", draws_per_row=2)


def rows(count: int, seed: int = 0) -> Rows:
    """Rows as the training table would have them, shape (rows, 4)."""
    x = np.random.default_rng(seed).multivariate_normal(CENTRE, COVARIANCE, count)
    x[:, 2] = np.clip(np.floor(x[:, 2] + 0.5), *COUNT_RANGE)
    return np.column_stack([x, np.full(count, SITE)])


def exact_log_prob(x: Rows) -> Rows:
    """The density in closed form, nats."""
    root = np.linalg.cholesky(COVARIANCE)
    z = np.linalg.solve(root, (x[:, :3] - CENTRE).T)
    log_det = float(np.log(np.diag(root)).sum())
    return np.asarray(-0.5 * (z * z).sum(axis=0) - log_det - 1.5 * math.log(2.0 * math.pi))


def exact_mean(x: Rows) -> Rows:
    """Mean of the posterior, which is its centre at every depth."""
    return (x[:, :3] - CENTRE) @ GAIN


def exact_z(x: Rows, noise: Rows, depth: int = DEFAULT_DEPTH) -> Rows:
    """Latents that noise of shape (rows, .., 2) makes."""
    mean = exact_mean(x)
    return mean.reshape(len(x), *[1] * (noise.ndim - 2), 2) + noise @ _spread(depth).T


def exact_log_weight(x: Rows, noise: Rows, depth: int = DEFAULT_DEPTH) -> Rows:
    """Log weights of noise of shape (rows, samples, 2)."""
    z = exact_z(x, noise, depth)
    residual = ((x[:, :3] - CENTRE)[:, None, :] - z @ WEIGHTS.T) / SIGMA
    squares = (z**2).sum(-1) + (residual**2).sum(-1) - (noise**2).sum(-1)
    return np.asarray(-0.5 * squares + math.log(np.linalg.det(_spread(depth))) + NORM)


def exact_gap(depth: int) -> float:
    """KL of the posterior at a depth from the true one, the same for every row."""
    spread = _spread(depth)
    ratio = np.linalg.solve(_POSTERIOR, spread @ spread.T)
    return 0.5 * float(np.trace(ratio) - 2.0 - np.log(np.linalg.det(ratio)))


def exact_rows(z: Rows) -> Rows:
    """Means of the likelihood at latents, shape (rows, 4)."""
    return np.column_stack([z @ WEIGHTS.T + CENTRE, np.full(len(z), SITE)])


def exact_error(x: Rows, back: Rows) -> Rows:
    """Root mean square difference of the modelled columns, in deviations."""
    return np.asarray(np.sqrt((((x - back)[:, :3] / DEVIATION) ** 2).mean(axis=1)))


def exact_score(x: Rows) -> Rows:
    """The importance bound at which scores are calibrated, the same noise for every row."""
    noise = bound_noise(_NOISE, SEED, 0, 0, SAMPLES)
    weights = exact_log_weight(x, np.broadcast_to(noise, (len(x), *noise.shape)))
    return np.logaddexp.reduce(weights, axis=1) - math.log(SAMPLES)


def minus_error(x: Rows) -> Rows:
    """The score of the autoencoder."""
    return -exact_error(x, exact_rows(exact_mean(x)))


def _spread(depth: int) -> Rows:
    return np.asarray(DIAGONAL + 0.5 * depth * (ROOT - DIAGONAL))
