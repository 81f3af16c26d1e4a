"""Flows fitted to an energy alone: targets whose divergence is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.bijections import ActNorm, Chain, Inverse
from training.flow import Flow
from training.recipes import ReverseKLConfig
from training.reverse_kl import fit_reverse_kl, reverse_kl
from training.tables.energies import ENERGIES, log_normaliser
from training.tables.inference import approximation

MEAN, SCALE = torch.tensor([3.0, -1.0]), torch.tensor([0.5, 2.0])


def gaussian(z: Tensor) -> Tensor:
    """Energy of a diagonal Gaussian, up to a constant that is not its normaliser."""
    return 0.5 * (((z - MEAN.to(z)) / SCALE.to(z)) ** 2).sum(dim=1) + 7.0


LOG_NORMALISER = math.log(2.0 * math.pi) + float(SCALE.log().sum()) - 7.0


def noise(rows: int = 20_000) -> Tensor:
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(0))


def test_the_quadrature_finds_a_normaliser() -> None:
    assert log_normaliser(gaussian) == pytest.approx(LOG_NORMALISER, abs=2e-2)


def test_the_divergence_is_that_of_two_gaussians() -> None:
    found = reverse_kl(Flow(Chain([])), gaussian, LOG_NORMALISER, noise())
    gaps = SCALE.log() + 0.5 * (1.0 + MEAN**2) / SCALE**2 - 0.5
    assert abs(found.nats - float(gaps.sum())) < 4.0 * found.standard_error


def test_a_gaussian_is_found_from_its_energy() -> None:
    flow = Flow(Chain([Inverse(Chain([ActNorm(2)]))]))
    fit_reverse_kl(flow, gaussian, 2, ReverseKLConfig(steps=1500, learning_rate=2e-2, warm_up=0))
    assert abs(reverse_kl(flow, gaussian, LOG_NORMALISER, noise()).nats) < 1e-3


def test_planar_layers_are_nearer_to_two_bumps_than_a_gaussian() -> None:
    energy = ENERGIES["two bumps on a ring"]
    normaliser, found = log_normaliser(energy), []
    for depth in (0, 8):
        flow = approximation(depth, 0)
        fit_reverse_kl(flow, energy, 2, ReverseKLConfig(steps=800, batch=256, warm_up=400))
        found.append(reverse_kl(flow, energy, normaliser, noise()))
    alone, with_flow = found
    assert with_flow.nats < alone.nats - 0.1
    assert with_flow.nats > -3.0 * with_flow.standard_error


@pytest.mark.parametrize("name", ENERGIES)
def test_potentials_have_a_normaliser_and_a_gradient(name: str) -> None:
    z = noise(100).requires_grad_()
    ENERGIES[name](z).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert math.isfinite(log_normaliser(ENERGIES[name]))


def test_a_fit_that_diverges_says_so() -> None:
    with pytest.raises(ValueError, match="diverged in step 1: try a smaller learning_rate"):
        fit_reverse_kl(approximation(0, 0), lambda z: z.sum(dim=1) * math.inf, 2)
