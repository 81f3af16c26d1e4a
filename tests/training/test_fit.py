"""The fit: learns, stops, resumes exactly, and says when it diverges."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoint import FitState
from training.fit import EpochReport, _smoothed
from training.prepared import FlowInput
from training.recipes import Recipe, read_recipe
from training.run import Run
from training.table import Examples, Table

SMALL = {"layers": 2, "bins": 4, "hidden": (16,), "marginal_bins": 4}


def ring(rows: int = 1500) -> Table:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, rows)
    radius = rng.normal(3.0, 0.2, rows)
    xy = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return Table("ring", ("x", "y"), xy)


def recipe(**fit: object) -> Recipe:
    settings = {"batch_rows": 128, "learning_rate": 5e-3, "threads": 1} | fit
    return Recipe.model_validate({"name": "ring", "model": SMALL, "fit": settings})


def silent(report: EpochReport) -> None:
    pass


def test_beats_the_best_gaussian_and_reports_every_epoch(tmp_path: Path) -> None:
    run = Run(recipe(epochs=30), ring(), "ring", "logdet train", tmp_path)
    reports: list[EpochReport] = []
    state = run.fit(FitState(), reports.append)
    train, test = run.prepared.split.train.rows, run.prepared.split.test.rows
    gaussian = torch.distributions.MultivariateNormal(
        torch.tensor(train.mean(axis=0)), torch.tensor(np.cov(train, rowvar=False))
    )
    gaussian_nats = float(gaussian.log_prob(torch.tensor(test)).mean())
    assert state.best_nats > gaussian_nats + 0.5
    assert [r.epoch for r in reports] == list(range(1, state.epoch + 1))
    assert reports[-1].best_nats == max(r.validation_nats for r in reports)
    assert reports[-1].seconds_left == 0


def test_an_interrupted_fit_resumes_to_the_same_parameters(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop_after_two(report: EpochReport) -> None:
        if report.epoch == 2:
            raise StopError

    whole = Run(recipe(epochs=4), ring(), "ring", "logdet train", tmp_path / "whole").fit(
        FitState(), silent
    )
    interrupted = Run(recipe(epochs=4), ring(), "ring", "logdet train", tmp_path / "parts")
    with pytest.raises(StopError):
        interrupted.fit(FitState(), stop_after_two)
    again = Run(recipe(epochs=4), ring(), "ring", "logdet train", tmp_path / "parts")
    resumed = again.fit(again.saved_state(), silent)
    assert resumed.epoch == whole.epoch == 4
    for name, value in whole.best.items():
        assert torch.equal(value, resumed.best[name]), name


def test_patience_and_time_stop_the_fit(tmp_path: Path) -> None:
    steady = recipe(epochs=200, patience=1, learning_rate=1e-12)
    assert (
        Run(steady, ring(), "ring", "logdet train", tmp_path).fit(FitState(), silent).epoch < 200
    )
    short = recipe(epochs=200, max_seconds=1e-6)
    assert Run(short, ring(), "ring", "logdet train", tmp_path).fit(FitState(), silent).epoch == 1


def test_the_learning_rate_ends_at_zero_when_time_is_used_up_first(tmp_path: Path) -> None:
    """A table too large for its epochs still gets the small steps at the end of the schedule."""
    settled = recipe(epochs=1000, max_seconds=1000.0, patience=1000)
    run = Run(settled, ring(300), "ring", "logdet train", tmp_path)
    rates: list[float] = []

    def late(report: EpochReport) -> None:
        saved = run.saved_state()
        rates.append(saved.optimiser["param_groups"][0]["lr"])
        raise KeyboardInterrupt

    for seconds in (0.0, 990.0):
        state = FitState()
        state.seconds = seconds
        with pytest.raises(KeyboardInterrupt):
            run.fit(state, late)
    assert rates[0] > 0.99 * settled.fit.learning_rate
    assert rates[1] < 0.01 * settled.fit.learning_rate


def test_a_divergence_is_said(tmp_path: Path) -> None:
    run = Run(recipe(epochs=3, learning_rate=1e30), ring(), "ring", "logdet train", tmp_path)
    with pytest.raises(ValueError, match="diverged"):
        run.fit(FitState(), silent)


def test_a_checkpoint_of_other_data_or_another_recipe_is_refused(tmp_path: Path) -> None:
    Run(recipe(epochs=1), ring(), "ring", "logdet train", tmp_path).fit(FitState(), silent)
    with pytest.raises(ValueError, match="other data"):
        Run(recipe(epochs=1), ring(1000), "ring", "logdet train", tmp_path).saved_state()
    other = Recipe.model_validate({"name": "ring", "model": SMALL | {"layers": 3}})
    with pytest.raises(ValueError, match="another recipe"):
        Run(other, ring(), "ring", "logdet train", tmp_path).saved_state()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    run = Run(recipe(epochs=1), ring(), "ring", "logdet train", tmp_path)
    with pytest.raises(ValueError, match="no checkpoint at"):
        run.saved_state()
    run.checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="not a checkpoint of this version"):
        run.saved_state()


def test_a_context_is_worth_what_it_tells(tmp_path: Path) -> None:
    """x given c is N(3c, 0.1²); alone it is uniform and wide."""
    rng = np.random.default_rng(0)
    c = rng.uniform(-1.0, 1.0, 1500)
    x = 3.0 * c + rng.normal(0.0, 0.1, len(c))
    table = Table("line", ("c", "x"), np.stack([c, x], axis=1))
    changes = {"context": ("c",)}
    conditional = recipe(epochs=40).model_copy(update=changes)
    state = Run(conditional, table, "line", "logdet train", tmp_path).fit(FitState(), silent)
    truth = -np.log(0.1) - 0.5 * np.log(2.0 * np.pi * np.e)
    assert truth - 0.15 < state.best_nats < truth + 0.15


def test_processor_time_does_not_pass_while_the_fit_waits(tmp_path: Path) -> None:
    """Epochs that wait a second each are over their time only by the clock on the wall."""

    def wait(report: EpochReport) -> None:
        time.sleep(1.0)

    for clock, epochs in (("wall", 2), ("processor", 3)):
        settings = recipe(epochs=3, max_seconds=0.9, batch_rows=1200, clock=clock)
        run = Run(settings, ring(), "ring", "logdet train", tmp_path / clock)
        assert run.fit(FitState(), wait).epoch == epochs


@pytest.mark.parametrize("noise", [None, (1.0, 1.0)])
def test_noise_gives_the_density_of_smoothed_rows(
    tmp_path: Path, noise: tuple[float, float] | None
) -> None:
    """Normal rows under normal noise are normal, and wider by what the noise adds."""
    rows = np.random.default_rng(0).normal(5.0, 3.0, (1500, 2))
    settings = recipe(epochs=30, noise=noise)
    run = Run(settings, Table("normal", ("x", "y"), rows), "normal", "logdet train", tmp_path)
    state = run.fit(FitState(), silent)
    run.work.take(state.best)
    middle = run.work.scores(Examples(np.full((1, 2), 5.0), np.empty((1, 0))))
    variance = 3.0**2 * (1.0 if noise is None else 1.0 + noise[1] ** 2)
    assert middle[0] == pytest.approx(-np.log(2.0 * np.pi * variance), abs=0.25)


def test_each_row_draws_its_own_noise_evenly_in_the_logarithm() -> None:
    rows = FlowInput(torch.zeros(4000, 50), torch.zeros(4000), None)
    smoothed = _smoothed(rows, (0.1, 10.0), np.random.default_rng(0))
    logs = smoothed.x.std(dim=1).log10()
    assert logs.min() > -1.3
    assert logs.max() < 1.3
    assert logs.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist() == pytest.approx(
        [-0.5, 0.0, 0.5], abs=0.1
    )


@pytest.mark.parametrize(
    ("recipe_name", "noise", "why"),
    [
        ("vae", "[0.1, 1]", "noise smooths the density of a flow, got family vae"),
        ("table", "[1, 0.1]", "expected the smallest deviation before the largest"),
        ("table", "[0, 0.1]", "greater than 0"),
    ],
)
def test_noise_that_makes_no_sense_is_refused(recipe_name: str, noise: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_recipe(recipe_name, [f"noise={noise}"])
