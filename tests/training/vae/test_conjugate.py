"""The bounds of a model whose log p(x) and true posterior are known in closed form.

The model, its posterior at full depth (exact) and without layers (diagonal) are those of
:mod:`tests.linear_gaussian`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests import linear_gaussian as truth
from training import bases
from training.bijections import Chain, Linear
from training.flow import Flow
from training.networks import MultiHead
from training.vae.evaluate import bounds
from training.vae.likelihoods import LOG_SCALE_BOUND, LocationScale
from training.vae.model import VAE, Gaussian, Level
from training.vae.posterior import LOG_SCALE_BOUND as POSTERIOR_BOUND
from training.vae.posterior import PosteriorFlow

ROWS, SAMPLES = 20, 5000
LATENTS = 2

pytestmark = pytest.mark.usefixtures("in_float64")


def linear(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weight))
        made.bias.copy_(torch.from_numpy(bias))
    return made


def told(*heads: nn.Linear) -> MultiHead:
    """A network that is nothing but its linear heads."""
    network = MultiHead(nn.Sequential(), [nn.Linear(1, 1) for _ in heads])
    network.heads = nn.ModuleList(heads)
    return network


def free(log_scale: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """What is squashed to a log scale."""
    return np.asarray(bound * np.arctanh(log_scale / bound))


def model(spread: NDArray[np.float64]) -> VAE:
    """With a posterior of that covariance's root, and a flow of one layer where it is no diagonal.

    The Gaussian in front of the flow is that of ``spread``'s diagonal.
    """
    scale = np.diag(spread)
    mix = spread / scale
    gain = np.linalg.solve(mix, truth.GAIN.T)
    log_scale = free(np.log(scale), POSTERIOR_BOUND)
    encoder = told(linear(gain, -gain @ truth.CENTRE), linear(np.zeros((LATENTS, 3)), log_scale))
    layer = Linear(torch.from_numpy(mix), torch.zeros(LATENTS))
    flow = PosteriorFlow([layer], (1,), 0)
    likelihood = LocationScale(bases.StandardNormal(), 3)
    with torch.no_grad():
        own = free(np.log(truth.SIGMA), LOG_SCALE_BOUND)
        likelihood.free_log_scale.copy_(torch.from_numpy(own))
    decoder = told(linear(truth.WEIGHTS, truth.CENTRE))
    prior = Flow(Chain([]))
    return VAE([Level(Gaussian(encoder), flow)], [], prior, decoder, likelihood, (LATENTS,))


EXACT, WORSE = truth.ROOT, truth.DIAGONAL


def rows() -> tuple[Tensor, NDArray[np.float64]]:
    """Drawn of the model, and their log p(x) in nats."""
    x = np.random.default_rng(0).multivariate_normal(truth.CENTRE, truth.COVARIANCE, ROWS)
    return torch.from_numpy(x), truth.exact_log_prob(x)


def quadrature() -> Tensor:
    """Noise whose equal-weighted mean is exact for quadratic functions, such as these weights."""
    points = math.sqrt(LATENTS) * torch.cat([torch.eye(LATENTS), -torch.eye(LATENTS)])
    return points.expand(ROWS, -1, -1)


@torch.no_grad()
def drawn(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log weights ``(rows, samples)``."""
    torch.manual_seed(1)
    weights = model(spread).log_weight(rows()[0], torch.randn(ROWS, SAMPLES, LATENTS))
    return np.asarray(weights.numpy())


def standard_error(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the importance bound of each row, by the delta method."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    deviation = weights.std(axis=1) / weights.mean(axis=1)
    return np.asarray(deviation / math.sqrt(log_weights.shape[1]))


def test_with_the_exact_posterior_every_weight_is_the_density() -> None:
    x, log_prob = rows()
    weights = model(EXACT).log_weight(x, torch.randn(ROWS, 7, LATENTS)).detach().numpy()
    assert np.abs(weights - log_prob[:, None]).max() < 1e-9


def test_with_the_exact_posterior_both_bounds_are_the_density() -> None:
    x, log_prob = rows()
    found = bounds(model(EXACT), x, 3, np.random.default_rng(0))
    assert np.abs(found.elbo - log_prob).max() < 1e-9
    assert np.abs(found.importance_bound - log_prob).max() < 1e-9


def test_the_gap_of_the_evidence_bound_is_the_divergence_from_the_true_posterior() -> None:
    x, log_prob = rows()
    elbo = model(WORSE).log_weight(x, quadrature()).mean(dim=1).detach().numpy()
    assert truth.exact_gap(0) > 0.1
    assert np.abs(log_prob - elbo - truth.exact_gap(0)).max() < 1e-9


def test_drawn_noise_gives_the_same_gap() -> None:
    x, log_prob = rows()
    found = bounds(model(WORSE), x, SAMPLES, np.random.default_rng(0))
    error = drawn(WORSE).std(axis=1) / math.sqrt(SAMPLES)
    assert (np.abs(log_prob - found.elbo - truth.exact_gap(0)) < 4.0 * error).all()


def test_the_importance_bound_reaches_the_density() -> None:
    x, log_prob = rows()
    found = bounds(model(WORSE), x, SAMPLES, np.random.default_rng(0)).importance_bound
    error = standard_error(drawn(WORSE))
    assert error.max() < 0.05
    assert (np.abs(found - log_prob) < 3.0 * error).all()


def test_the_importance_bound_does_not_fall_with_samples() -> None:
    log_weights, log_prob = drawn(WORSE), rows()[1]
    means, errors = [], []
    for samples in (1, 2, 5, 20, 100, 1000):
        groups = log_weights.reshape(ROWS, -1, samples)
        each = np.logaddexp.reduce(groups, axis=2) - math.log(samples) - log_prob[:, None]
        means.append(each.mean())
        errors.append(each.std() / math.sqrt(each.size))
    rises = np.diff(means)
    assert (rises > -3.0 * np.hypot(errors[1:], errors[:-1])).all()
    assert rises[0] > 0.01
    assert means[-1] < 3.0 * errors[-1]


def test_bounds_in_pieces_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows fit at once; the noise is drawn row by row."""
    x, _ = rows()
    whole = bounds(model(WORSE), x, 4, np.random.default_rng(0))
    monkeypatch.setattr("training.vae.evaluate.MOST_NUMBERS", 7 * 4 * x.shape[1])
    pieces = bounds(model(WORSE), x, 4, np.random.default_rng(0))
    assert np.allclose(whole.elbo, pieces.elbo, atol=1e-12)
    assert np.allclose(whole.importance_bound, pieces.importance_bound, atol=1e-12)
