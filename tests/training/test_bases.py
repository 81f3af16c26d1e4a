"""Base densities in torch: equal to what the manifest describes, and proper densities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from exported.base import base_log_prob, base_noise
from training.bases import BaseDensity, GaussianMixture, StandardNormal, StudentT, Uniform

MAKERS: dict[str, Callable[[int], BaseDensity]] = {
    "standard_normal": lambda d: StandardNormal(),
    "student_t": StudentT,
    "gaussian_mixture": lambda d: GaussianMixture(d, 5),
    "uniform": lambda d: Uniform(),
}
LEARNED = ["student_t", "gaussian_mixture"]
STRAIN = 0.7


pytestmark = pytest.mark.usefixtures("in_float64")


def make(name: str, features: int) -> BaseDensity:
    base = MAKERS[name](features)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(STRAIN * torch.randn_like(parameter))
    return base


@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_the_trained_density_is_the_one_described(name: str, features: int) -> None:
    base = make(name, features)
    described = base.describe(features)
    assert (described.distribution, described.features) == (name, features)
    z = base_noise(described, 0, 0, 400, temperature=1.5)
    for module in (base, base.folded()):
        got = module.log_prob(torch.from_numpy(z)).detach().numpy()
        np.testing.assert_allclose(got, base_log_prob(described, z), rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("name", MAKERS)
def test_the_density_integrates_to_one(name: str) -> None:
    place = torch.linspace(-12.0, 12.0, 40_001).reshape(-1, 1)
    z, weight = place.sinh(), place.cosh()
    if name == "uniform":
        z, weight = torch.linspace(0.0, 1.0, 11).reshape(-1, 1), torch.ones(11, 1)
        place = z
    density = make(name, 1).log_prob(z).detach().exp() * weight[:, 0]
    assert float(torch.trapezoid(density, place[:, 0])) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", LEARNED)
def test_gradient_reaches_every_parameter(name: str) -> None:
    base = make(name, 3)
    base.log_prob(torch.randn(50, 3)).mean().backward()
    for parameter in base.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).all()
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", LEARNED)
def test_float32_is_near_float64_far_out_too(name: str) -> None:
    base = make(name, 4)
    z = 10.0 ** torch.linspace(-2.0, 4.0, 100).reshape(-1, 1) * torch.randn(100, 4).sign()
    wide = base.log_prob(z)
    narrow = base.folded().float().log_prob(z.float())
    assert ((narrow - wide).abs() <= 1e-4 + 1e-6 * wide.abs()).all()


def test_any_parameters_give_degrees_of_freedom_between_two_and_128() -> None:
    base = StudentT(3)
    with torch.no_grad():
        base.heaviness.copy_(torch.tensor([-1e3, 0.0, 1e3]))
    assert base.degrees().tolist() == pytest.approx([2.0, 16.0, 128.0])


def test_learned_degrees_are_those_of_the_noise() -> None:
    """Maximum likelihood finds the tails of Student-t rows."""
    rows = np.random.default_rng(0).standard_t(3.0, (20_000, 1))
    base, z = StudentT(1), torch.from_numpy(rows)
    optimiser = torch.optim.Adam(base.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        (-base.log_prob(z).mean()).backward()
        optimiser.step()
    assert base.degrees().item() == pytest.approx(3.0, rel=0.1)
