"""Log weights of several stochastic layers beside densities computed apart, and draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from tests.training.vae.builders import POSTERIORS, measured, observations, vae
from training.vae.model import VAE

ROWS, SAMPLES, FEATURES = 3, 2, 3
TWO_LAYERS: list[dict[str, Any]] = [
    {"latents": [3, 2]},
    {"latents": [3, 2], "posterior": "planar"},
    {"latents": [3, 2], "posterior": "iaf", "prior": "realnvp"},
    {"latents": [2, 2, 2], "posterior": "nsf", "amortised": False, "prior": "linear"},
]
# Of a solver's log-det; everything else is exact.
SOLVED, EXACT = 1e-3, 1e-9
PRIORS = ("none", "realnvp", "nsf", "maf", "linear")

pytestmark = pytest.mark.usefixtures("in_float64")


def small(**settings: Any) -> VAE:
    return vae(observations(measured(), **settings), **settings)


def given(model: VAE) -> tuple[Tensor, Tensor]:
    return torch.randn(ROWS, FEATURES), torch.randn(ROWS, SAMPLES, sum(model.latents))


def log_joint(model: VAE, x: Tensor, latents: list[Tensor]) -> Tensor:
    """Log p(x, z) of one row, with nothing but the networks and distributions of torch."""
    scales = model.likelihood.get_parameter("free_log_scale")
    mean = model.decoder(latents[0])[0]
    log_p = Normal(mean, (5.0 * torch.tanh(scales / 5.0)).exp()).log_prob(x).sum()
    for below, above, gaussian in zip(latents, latents[1:], model.upper, strict=False):
        mean, log_scale = gaussian.get_submodule("network")(above)
        scale = (7.0 * torch.tanh(log_scale / 7.0)).exp()
        log_p = log_p + Normal(mean, scale).log_prob(below).sum()
    z, log_det = model.prior.bijection.encode(latents[-1])
    return log_p + Normal(0.0, 1.0).log_prob(z).sum() + log_det.sum()


def log_posterior(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """Log q(z | x) of one row: the noise's density, moved by the Jacobian of all that follows."""

    def latents(noise: Tensor) -> Tensor:
        return torch.cat([one.z for one in model.infer(x, noise[None, None])], dim=1)[0]

    jacobian = torch.autograd.functional.jacobian(latents, noise)
    return Normal(0.0, 1.0).log_prob(noise).sum() - torch.linalg.slogdet(jacobian).logabsdet


def check(model: VAE, tolerance: float) -> None:
    x, noise = given(model)
    got = model.log_weight(x, noise)
    for i in range(ROWS):
        row = x[i : i + 1]
        for k in range(SAMPLES):
            latents = [one.z for one in model.infer(row, noise[i : i + 1, k : k + 1])]
            expected = log_joint(model, row, latents) - log_posterior(model, row, noise[i, k])
            assert (got[i, k] - expected).abs() < tolerance


@pytest.mark.parametrize("settings", TWO_LAYERS, ids=lambda settings: "-".join(map(str, settings)))
def test_weights_of_several_layers_are_sums_of_densities(settings: dict[str, Any]) -> None:
    check(small(**settings), EXACT)


@pytest.mark.parametrize("kind", POSTERIORS)
def test_weights_with_a_posterior_flow_are_sums_of_densities(kind: str) -> None:
    check(small(posterior=kind), SOLVED if kind == "cnf" else EXACT)


@pytest.mark.parametrize("kind", PRIORS)
def test_weights_with_a_prior_flow_are_sums_of_densities(kind: str) -> None:
    check(small(prior=kind), EXACT)


def test_parts_are_the_weight() -> None:
    model = small(latents=[3, 2])
    parts = model.parts(*given(model))
    total = parts.log_likelihood - sum(parts.divergences)
    assert torch.allclose(parts.log_weight(), total)
    assert [d.shape for d in parts.divergences] == [(ROWS, SAMPLES)] * 2


@pytest.mark.parametrize("settings", TWO_LAYERS, ids=lambda settings: "-".join(map(str, settings)))
class TestRowsAreIndependent:
    def test_weights(self, settings: dict[str, Any]) -> None:
        model = small(**settings)
        x, noise = given(model)
        together = model.log_weight(x, noise)
        alone = [model.log_weight(x[i : i + 1], noise[i : i + 1]) for i in range(ROWS)]
        assert torch.allclose(torch.cat(alone), together, atol=1e-12)
        first = model.log_weight(x, noise[:, :1])
        assert torch.allclose(first, together[:, :1], atol=1e-12)

    def test_draws(self, settings: dict[str, Any]) -> None:
        model = small(**settings)
        noise, emission = torch.randn(ROWS, sum(model.latents)), torch.randn(ROWS, FEATURES)
        together = model.draw(model.generate(noise)[0], emission)
        for i in range(ROWS):
            latents = model.generate(noise[i : i + 1])
            assert [z.shape[1] for z in latents] == list(model.latents)
            alone = model.draw(latents[0], emission[i : i + 1])
            assert torch.allclose(alone, together[i : i + 1], atol=1e-12)


def test_draws_of_several_layers_have_the_prior_that_weights_say() -> None:
    """The noise's density, moved by the Jacobian, is p(z1 | z2) p(z2)."""
    model = small(latents=[3, 2], prior="realnvp")
    noise, x = torch.randn(5), torch.randn(1, FEATURES)

    def generated(noise: Tensor) -> Tensor:
        return torch.cat(model.generate(noise[None]), dim=1)[0]

    jacobian = torch.autograd.functional.jacobian(generated, noise)
    log_p = Normal(0.0, 1.0).log_prob(noise).sum() - torch.linalg.slogdet(jacobian).logabsdet
    latents = model.generate(noise[None])
    of_x = model.likelihood.log_prob(x[None], *(t[None] for t in model.decoder(latents[0])))
    assert (log_joint(model, x, latents) - of_x.sum() - log_p).abs() < EXACT


def test_a_first_batch_sets_the_prior() -> None:
    model = small(prior="realnvp")
    x, before = torch.randn(200, FEATURES), model.prior.bijection.encode(torch.zeros(1, 3))[0]
    model.initialise(x)
    assert (model.prior.bijection.encode(torch.zeros(1, 3))[0] != before).any()
    noise = torch.randn(200, 1, 3, generator=torch.Generator().manual_seed(0))
    z = model.prior.bijection.encode(model.infer(x, noise)[0].z)[0]
    assert (z.mean(dim=0).abs() < 1e-6).all()
