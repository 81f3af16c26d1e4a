"""Trimming: two fits, the second without the rows that the first finds least likely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exported.bundle import read_bundle
from training.checkpoint import FitState, load
from training.evaluate import full_flow, served_log_prob
from training.fit import EpochReport
from training.recipes import Recipe, read_recipe
from training.run import FlowWork, Run
from training.table import Table
from training.tables.trimming import PLANTED, contaminated, found, trained

ROWS, EPOCHS = 600, 3
FLOW = {"family": "realnvp", "layers": 2, "hidden": [8], "marginal_bins": 0}


class StopError(Exception):
    """Ctrl-C."""


def table(anomalies: int = 12) -> Table:
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(10.0, 2.0, ROWS), rng.gamma(3.0, 1.0, ROWS)])
    rows[:anomalies] = rng.uniform(60.0, 90.0, (anomalies, 2))
    return Table("mixed", ("flow", "level"), rows)


def recipe(trim: float = 0.02, model: dict[str, Any] = FLOW) -> Recipe:
    fit = {"epochs": EPOCHS, "batch_rows": 64}
    return Recipe.model_validate({"name": "t", "trim": trim, "model": model, "fit": fit})


def run_in(folder: Path, trim: float = 0.02, **model: Any) -> Run:
    return Run(recipe(trim, model or FLOW), table(), "t", "logdet train", folder)


def silent(report: EpochReport) -> None:
    pass


def stop_after(epochs: int) -> Any:
    """A reporter that interrupts after so many epochs of both fits together."""
    left = [epochs]

    def report(_: EpochReport) -> None:
        left[0] -= 1
        if not left[0]:
            raise StopError

    return report


def test_the_least_likely_rows_of_a_first_fit_are_left_out_of_a_second(tmp_path: Path) -> None:
    plain, run = run_in(tmp_path / "plain", trim=0.0), run_in(tmp_path / "trimmed")
    first, state = plain.fit(FitState(), silent), run.fit(FitState(), silent)
    assert (state.epochs_before, state.epoch) == (EPOCHS, EPOCHS)
    assert isinstance(plain.work, FlowWork)
    density = full_flow(plain.work.flow, plain.prepared)
    whole, rest = plain.prepared.split, run.prepared.split
    for part, left_out in {"train": 8, "validation": 1}.items():
        rows, kept = getattr(whole, part), getattr(rest, part)
        scores = served_log_prob(density, plain.prepared, rows)
        np.testing.assert_allclose(state.scores[part].numpy(), scores)
        order = np.argsort(scores)
        np.testing.assert_array_equal(kept.rows, rows.rows[np.sort(order[left_out:])])
        told = rest.trimmed[part]
        assert (told.share, told.rows) == (0.02, left_out)
        assert told.cut == pytest.approx(scores[order[left_out]])
    assert rest.counts() == whole.counts()
    # The columns are described without them, and the model begins afresh.
    assert run.prepared.columns.all[0].high < 20.0 < plain.prepared.columns.all[0].high
    assert first.best.keys() == state.best.keys()


def test_a_bundle_tells_what_was_trimmed_and_calibrates_alike(tmp_path: Path) -> None:
    run = run_in(tmp_path, trim=0.05)
    state = run.fit(FitState(), silent)
    published = run.publish(state, tmp_path / "bundles")
    manifest = read_bundle(published.folder).manifest
    told = manifest.provenance.trimmed
    assert {part: trimmed.rows for part, trimmed in told.items()} == {"train": 21, "validation": 3}
    assert manifest.provenance.rows["train"] == 420
    assert manifest.provenance.training_seconds >= round(state.seconds_before, 3)
    calibration = manifest.calibration
    assert calibration.trimmed is not None
    assert (calibration.trimmed.rows, calibration.rows) == (3, 57)
    lowest = read_bundle(published.folder).calibration().scores[0]
    assert calibration.trimmed.cut == pytest.approx(lowest)


@pytest.mark.parametrize("epochs", [2, EPOCHS, EPOCHS + 2])
def test_an_interrupted_run_resumes_to_the_same_parameters(tmp_path: Path, epochs: int) -> None:
    """In the first fit, at the end of it, and in the second."""
    whole = run_in(tmp_path / "whole").fit(FitState(), silent)
    with pytest.raises(StopError):
        run_in(tmp_path / "parts").fit(FitState(), stop_after(epochs))
    again = run_in(tmp_path / "parts")
    assert again.unfinished_epochs() == epochs
    resumed = again.fit(again.saved_state(), silent)
    assert again.unfinished_epochs() == 0
    assert again.prepared.split.trimmed["train"].rows == 8
    for name, value in whole.best.items():
        assert torch.equal(value, resumed.best[name]), name


def test_a_first_fit_alone_is_not_published(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    with pytest.raises(StopError):
        run.fit(FitState(), stop_after(EPOCHS))
    _, _, state = load(run.checkpoint)
    with pytest.raises(ValueError, match=r"the rows that trim: 0\.02 leaves, got the one before"):
        run_in(tmp_path).publish(state, tmp_path / "bundles")
    run.fit(state, silent)
    exported = run_in(tmp_path)
    folder = exported.publish(exported.saved_state(), tmp_path / "bundles").folder
    assert read_bundle(folder).manifest.provenance.trimmed["train"].rows == 8


@pytest.mark.parametrize(
    "model",
    [
        {"family": "vae", "hidden": [8], "latents": [1], "score_samples": 4},
        {"family": "autoencoder", "hidden": [8], "latents": 1},
        {"family": "cnf", "hidden": [8, 8], "marginal_bins": 0},
    ],
    ids=lambda model: model["family"],
)
def test_every_kind_is_trimmed_by_its_own_score(tmp_path: Path, model: dict[str, Any]) -> None:
    run = run_in(tmp_path, **model)
    run.fit(FitState(), silent)
    assert run.prepared.split.trimmed["train"].rows == 8
    assert run.prepared.columns.all[0].high < 30.0
    scores = run.work.scores(run.prepared.split.test)
    assert scores.shape == (len(run.prepared.split.test),)
    assert np.isfinite(scores).all()


def test_a_share_is_set_on_the_command_line_and_refused_where_it_cannot_be() -> None:
    assert read_recipe("table", ["trim=0.02"]).trim == 0.02
    with pytest.raises(ValueError, match=r"trim: Input should be less than 0\.5, got 0\.5"):
        read_recipe("table", ["trim=0.5"])
    with pytest.raises(ValueError, match="no rows to which trim could apply"):
        read_recipe("reverse_kl", ["trim=0.1"])


def test_trimming_finds_more_of_planted_anomalies() -> None:
    """Of 5 % in every part; docs/tables/trimming.md has the full table."""
    settings = "epochs=15", "layers=2", "hidden=[16]", "bins=8", "batch_rows=128"
    mixed = contaminated(PLANTED, seed=0, rows=3000)
    before = found(trained(mixed, 0.0, 0, *settings), 0.0)
    after = found(trained(mixed, PLANTED, 0, *settings), PLANTED)
    assert after.power > 2.0 * before.power
    assert after.alarms < 0.01 + PLANTED * 0.99
