"""What is minimised, beside the parts it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.vae.builders import autoencoder, measured, observations, vae, vae_config
from training.prepared import FlowInput
from training.vae.model import VAE, Depth, Parts
from training.vae.objectives import (
    FULL_DEPTH_SHARE,
    Bound,
    Reconstruction,
    gaussian_noise,
    importance_bound,
)

ROWS, SEED = 32, 5

pytestmark = pytest.mark.usefixtures("in_float64")


def small(**settings: Any) -> tuple[VAE, Bound, FlowInput]:
    """A model, its objective, and rows."""
    model = vae(observations(measured(), **settings), **settings)
    rows = FlowInput(torch.randn(ROWS, 3), torch.zeros(ROWS), None)
    return model, Bound(vae_config(**settings)), rows


def parts(model: VAE, rows: FlowInput, samples: int = 1) -> Parts:
    """For the noise that a generator of the seed gives the objective."""
    noise = gaussian_noise(model, rows.x, samples, np.random.default_rng(SEED))
    return model.parts(rows.x, noise)


def loss(model: VAE, objective: Bound, rows: FlowInput, epoch: int = 0) -> float:
    return objective(model, rows, np.random.default_rng(SEED), epoch).item()


@pytest.mark.parametrize(
    ("warm_up", "epoch", "weight"),
    [(0, 0, 1.0), (4, 0, 0.25), (4, 2, 0.75), (4, 3, 1.0), (4, 9, 1.0)],
)
def test_the_divergence_is_paid_for_by_and_by(warm_up: int, epoch: int, weight: float) -> None:
    model, objective, rows = small(warm_up=warm_up, latents=[3, 2])
    of = parts(model, rows)
    expected = weight * sum(d.mean() for d in of.divergences) - of.log_likelihood.mean()
    assert loss(model, objective, rows, epoch) == pytest.approx(expected.item())


def test_after_the_warm_up_it_is_the_evidence_bound() -> None:
    model, objective, rows = small(latents=[3, 2])
    nats = objective.nats(model, rows, np.random.default_rng(SEED))
    assert nats.shape == (ROWS,)
    assert loss(model, objective, rows, epoch=99) == pytest.approx(-nats.mean().item())


def test_free_bits_cost_nothing_layer_by_layer() -> None:
    model, _, rows = small(latents=[3, 2])
    of = parts(model, rows)
    means = [d.mean().item() for d in of.divergences]
    free = 0.5 * (means[0] / 3 + means[1] / 2)
    assert (means[0] < 3 * free) != (means[1] < 2 * free), "one layer is to be under the floor"
    _, objective, _ = small(latents=[3, 2], free_bits=free, warm_up=0)
    expected = max(means[0], 3 * free) + max(means[1], 2 * free) - of.log_likelihood.mean().item()
    assert loss(model, objective, rows) == pytest.approx(expected)


def test_under_the_free_bits_the_posterior_is_moved_by_the_likelihood_alone() -> None:
    model, objective, rows = small(free_bits=1e6, warm_up=0)
    objective(model, rows, np.random.default_rng(SEED), 0).backward()
    head = model.each_level()[0].gaussian.get_parameter("network.heads.0.weight")
    (expected,) = torch.autograd.grad(-parts(model, rows).log_likelihood.mean(), head)
    assert head.grad is not None
    assert torch.allclose(head.grad, expected)


def test_several_samples_are_the_importance_bound() -> None:
    model, objective, rows = small(importance_samples=6)
    weights = parts(model, rows, 6).log_weight()
    expected = -weights.exp().mean(dim=1).log().mean()
    assert loss(model, objective, rows) == pytest.approx(expected.item())


def test_the_importance_bound_of_one_sample_is_its_weight() -> None:
    log_weights = torch.randn(4, 1)
    assert torch.equal(importance_bound(log_weights), log_weights[:, 0])


def test_the_importance_bound_of_tiny_weights_is_finite() -> None:
    assert importance_bound(torch.full((2, 3), -1e4)).tolist() == pytest.approx([-1e4, -1e4])


class TestTruncation:
    STEPS = 400

    def taken(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> list[Depth]:
        """Depths of many steps."""
        model, objective, rows = small(posterior="planar", **settings)
        depths: list[Depth] = []
        real = VAE.parts

        def spy(model: VAE, x: Tensor, noise: Tensor, depth: Depth = None) -> Parts:
            depths.append(depth)
            return real(model, x, noise, depth)

        monkeypatch.setattr(VAE, "parts", spy)
        noise = np.random.default_rng(SEED)
        with torch.no_grad():
            for _ in range(self.STEPS):
                objective(model, rows[:2], noise, 0)
        return depths

    def test_every_depth_is_trained_and_all_of_it_most(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        depths = self.taken(monkeypatch)
        assert set(depths) == {0, 1, 2, None}
        deviation = np.sqrt(FULL_DEPTH_SHARE * (1.0 - FULL_DEPTH_SHARE) / self.STEPS)
        share = depths.count(None) / self.STEPS
        assert abs(share - FULL_DEPTH_SHARE) < 4.0 * deviation
        assert min(map(depths.count, (0, 1, 2))) > 0.1 * self.STEPS

    def test_without_it_only_all_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert set(self.taken(monkeypatch, truncation=False)) == {None}


def test_an_autoencoder_minimises_its_mean_squared_error() -> None:
    model = autoencoder(observations(measured(), family="autoencoder"))
    rows = FlowInput(torch.randn(ROWS, 3), torch.zeros(ROWS), None)
    again = model.decode(model.encode(rows.x))
    expected = (again - rows.x).square().mean()
    noise = np.random.default_rng(SEED)
    assert torch.allclose(Reconstruction()(model, rows, noise, 0), expected)
    nats = Reconstruction().nats(model, rows, noise)
    assert torch.allclose(nats.mean(), -expected)
    assert nats.shape == (ROWS,)
