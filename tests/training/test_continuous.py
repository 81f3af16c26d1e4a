"""Continuous layers: the laws up to the solver's error, and what velocities are fitted to."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training import laws
from training.bijections import ActNorm, Chain, Continuous, Velocity
from training.bijections.continuous import stepped
from training.checkpoint import FitState
from training.families import build
from training.fit import EpochReport
from training.flow import Flow
from training.layers import Sizes
from training.objectives import Path as NoisePath
from training.objectives import Regression, straight, variance_preserving
from training.prepared import FlowInput
from training.recipes import DiffusionConfig, Recipe
from training.run import Run
from training.table import Table

# The solver's own error at this many steps, of velocities as strained as these.
STEPS, SOLVED = 64, 1e-6
CONTEXTS = pytest.mark.parametrize("context_features", [0, 3], ids=["plain", "conditional"])


pytestmark = pytest.mark.usefixtures("in_float64")


def strained(features: int, context_features: int = 0, strain: float = 0.2) -> Velocity:
    velocity = Velocity(features, (12, 10), context_features)
    with torch.no_grad():
        for parameter in velocity.parameters():
            parameter.add_(strain * torch.randn_like(parameter))
    return velocity


def rows(features: int, context_features: int) -> tuple[Tensor, Tensor | None]:
    context = torch.randn(6, context_features) if context_features else None
    return 1.5 * torch.randn(6, features), context


@CONTEXTS
@pytest.mark.parametrize("features", [1, 5])
def test_the_divergence_is_the_trace_of_the_jacobian(features: int, context_features: int) -> None:
    velocity = strained(features, context_features, strain=0.7)
    z, context = rows(features, context_features)
    t = torch.tensor(0.3)
    moving, divergence = velocity.field(context)(z, t)
    assert torch.allclose(moving, velocity(z, t.expand(len(z)), context), atol=1e-12)
    for i, row in enumerate(z):
        given = None if context is None else context[i : i + 1]

        def one(at: Tensor, given: Tensor | None = given) -> Tensor:
            return velocity(at[None], t[None], given)[0]

        jacobian = torch.autograd.functional.jacobian(one, row)
        assert (jacobian.trace() - divergence[i]).abs() < 1e-12


@CONTEXTS
def test_encode_and_decode_undo_each_other_up_to_the_solver(context_features: int) -> None:
    layer = Continuous(strained(4, context_features), STEPS)
    x, context = rows(4, context_features)
    z, there = layer.encode(x, context)
    back, home = layer.decode(z, context)
    assert (z - x).abs().max() > 0.1
    assert (back - x).abs().max() < SOLVED
    assert (there + home).abs().max() < SOLVED


@CONTEXTS
def test_log_det_is_that_of_the_jacobian_up_to_the_solver(context_features: int) -> None:
    layer = Continuous(strained(4, context_features), STEPS)
    x, context = rows(4, context_features)
    _, log_det = layer.encode(x, context)
    expected = torch.linalg.slogdet(laws.jacobians(layer, x, context)).logabsdet
    assert (log_det - expected).abs().max() < SOLVED


def test_rows_are_independent_and_every_parameter_learns() -> None:
    layer = Continuous(strained(4), 4)
    laws.rows_are_independent(layer, rows(4, 0)[0])
    laws.gradient_reaches_every_parameter(layer, rows(4, 0)[0])


def test_the_density_integrates_to_one() -> None:
    with torch.no_grad():
        laws.density_integrates_to_one(Continuous(strained(2), 4))


def test_the_error_falls_sixteenfold_when_the_steps_double() -> None:
    chain, x = Chain([ActNorm(4), Continuous(strained(4, strain=0.4), 4)]), rows(4, 0)[0]
    with torch.no_grad():
        fine = Flow(stepped(chain, 256))(x)
        errors = [(Flow(stepped(chain, n))(x) - fine).abs().max() for n in (8, 16, 32)]
    assert 8.0 < errors[0] / errors[1] < 40.0
    assert 8.0 < errors[1] / errors[2] < 40.0


def test_steps_share_the_parameters_and_leave_the_chain_alone() -> None:
    layer = Continuous(strained(2), 4)
    chain = Chain([ActNorm(2), layer])
    again = stepped(chain, 16)
    assert (chain.passes(), again.passes()) == ((16, 16), (64, 64))
    assert {id(p) for p in again.parameters()} == {id(p) for p in chain.parameters()}


@pytest.mark.parametrize("path", [straight, variance_preserving])
def test_a_path_leads_from_the_row_to_the_noise_at_its_velocity(path: NoisePath) -> None:
    x, noise = torch.randn(5, 3), torch.randn(5, 3)
    assert torch.allclose(path(x, noise, torch.zeros(5, 1))[0], x)
    assert torch.allclose(path(x, noise, torch.ones(5, 1))[0], noise)
    t, small = torch.rand(5, 1), 1e-6
    ahead, behind = path(x, noise, t + small)[0], path(x, noise, t - small)[0]
    assert torch.allclose((ahead - behind) / (2.0 * small), path(x, noise, t)[1], atol=1e-7)


def test_the_velocity_of_score_matching_is_the_probability_flow_of_its_score() -> None:
    """For one row and its noise: v = -(angle's speed) tan(angle) (score + place)."""
    x, noise, t = torch.randn(5, 3), torch.randn(5, 3), 0.1 + 0.8 * torch.rand(5, 1)
    angle = 0.5 * math.pi * t
    place, velocity = variance_preserving(x, noise, t)
    score = -(place - angle.cos() * x) / angle.sin() ** 2
    assert torch.allclose(velocity, -0.5 * math.pi * angle.tan() * (score + place))


def test_the_regression_leaves_the_layers_before_to_their_own_likelihood() -> None:
    chain = build(
        DiffusionConfig(family="diffusion", hidden=(8, 8), marginal_bins=4),
        Sizes(2),
        torch.Generator().manual_seed(0),
    )
    x = torch.randn(64, 2) ** 3
    chain.initialise(x)
    flow, before = Flow(chain), Chain(chain.bijections[:-1])
    batch = FlowInput(x, x.new_zeros(len(x)), None)
    Regression(path=variance_preserving)(flow, batch, np.random.default_rng(0), 0).backward()
    got = {name: p.grad.clone() for name, p in before.named_parameters() if p.grad is not None}
    flow.zero_grad()
    (-Flow(before)(x).mean()).backward()
    assert set(got) == {name for name, _ in before.named_parameters()}
    for name, parameter in before.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, got[name]), name


def ring_run(model: dict[str, object], epochs: int, folder: Path) -> Run:
    torch.set_default_dtype(torch.float32)
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0.0, 2.0 * np.pi, 1500), rng.normal(3.0, 0.2, 1500)
    xy = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    recipe = Recipe.model_validate(
        {
            "name": "ring",
            "model": {"hidden": [32, 32], "marginal_bins": 0, **model},
            "fit": {"epochs": epochs, "batch_rows": 128, "learning_rate": 1e-2},
        }
    )
    return Run(recipe, Table("ring", ("x", "y"), xy), "ring", "logdet train", folder)


@pytest.mark.parametrize(
    ("model", "epochs"),
    [
        ({"family": "cnf"}, 25),
        ({"family": "diffusion"}, 25),
        ({"family": "cnf", "objective": "likelihood"}, 15),
    ],
    ids=["flow matching", "score matching", "likelihood"],
)
def test_every_objective_beats_the_best_gaussian(
    model: dict[str, object], epochs: int, tmp_path: Path
) -> None:
    run = ring_run(model, epochs, tmp_path)
    state = run.fit(FitState(), lambda report: None)
    test = run.prepared.split.test.rows
    gaussian = torch.distributions.MultivariateNormal(
        torch.tensor(run.prepared.split.train.rows.mean(axis=0)),
        torch.tensor(np.cov(run.prepared.split.train.rows, rowvar=False)),
    )
    assert state.best_nats > float(gaussian.log_prob(torch.tensor(test)).mean()) + 0.3


def test_an_interrupted_regression_resumes_to_the_same_parameters(tmp_path: Path) -> None:
    model: dict[str, object] = {"family": "cnf", "hidden": [4, 4]}
    whole = ring_run(model, 3, tmp_path / "whole").fit(FitState(), lambda report: None)

    def stop(report: EpochReport) -> None:
        assert report.train_nats is None
        if report.epoch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        ring_run(model, 3, tmp_path / "parts").fit(FitState(), stop)
    again = ring_run(model, 3, tmp_path / "parts")
    resumed = again.fit(again.saved_state(), lambda report: None)
    for name, value in whole.best.items():
        assert torch.equal(value, resumed.best[name]), name
