"""What a person is told about a run, and what a bundle is told about a person."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from exported.accuracy import ErrorSummary, StepChoice, StepChoices
from exported.bundle import read_manifest
from exported.trimming import Trimmed
from logdet.commands.train import _explain_interruption, _settled, load_data
from logdet.errors import TableError
from logdet.published_view import _steps, show_published
from logdet.text import command_line
from logdet.training_view import (
    publishing,
    show_columns,
    show_next_version,
    training_progress,
)
from tests.latents import write_autoencoder, write_vae
from training.checkpoint import FitState
from training.evaluate import Separation
from training.fit import EpochReport
from training.prepared import prepare
from training.recipes import Recipe, read_recipe
from training.run import Published
from training.table import Table
from training.vae.data import prepare_observations


def test_names_with_units_in_brackets_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("speed [m/s]", "rate [/s]", "[bold]", ":warning:")
    rows = np.random.default_rng(0).normal(size=(60, len(names)))
    show_columns(prepare(Recipe(name="t"), Table("t", names, rows)), "rows [/1].csv")
    shown = capsys.readouterr().out
    for text in (*names, "rows [/1].csv"):
        assert text in shown


def test_a_version_beside_others_is_announced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_next_version(tmp_path, "pumps")
    assert capsys.readouterr().out == ""
    for version in (1, 3):
        (tmp_path / "pumps" / str(version)).mkdir(parents=True)
    show_next_version(tmp_path, "pumps")
    assert capsys.readouterr().out == (
        f"{tmp_path / 'pumps'} has versions 1, 3: this run publishes version 4 beside them "
        "(--name NAME makes another bundle)\n"
    )


def test_a_pipe_is_told_that_publishing_has_begun(capsys: pytest.CaptureFixture[str]) -> None:
    with publishing(Recipe(name="t"), FitState(epoch=1, best_epoch=1)):
        assert capsys.readouterr().out == (
            "fit done after 1 epoch, the best was 1\n"
            "exporting, measuring, calibrating, verifying\n"
        )


def test_the_steps_of_a_continuous_flow_are_shown_with_the_error_of_the_default() -> None:
    choices = tuple(
        StepChoice(steps=steps, log_prob_error=error, round_trip_error=error, passes=steps)
        for steps, p999 in ((4, 0.5), (8, 0.012))
        for error in (ErrorSummary(median=0.001, p999=p999, max=1.0),)
    )
    assert _steps(StepChoices(default=8, offered=choices)) == [
        ("steps by default", "8, error 1.2e-02 nats at the 99.9th percentile"),
        ("  on offer", "4, 8"),
    ]
    assert _steps(None) == []


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("nsf", "train -3.000  validation -2.500  best -2.000 nats  up to 1:05 left"),
        ("vae", "bound of validation -2.500  best -2.000 nats  up to 1:05 left"),
        ("autoencoder", "squared error of validation 2.5000  best 2.0000  up to 1:05 left"),
    ],
)
def test_what_validation_measures_is_called_what_it_is(
    capsys: pytest.CaptureFixture[str], family: str, words: str
) -> None:
    train = -3.0 if family == "nsf" else None
    recipe = Recipe(name="t", model={"family": family})
    with training_progress(recipe) as report:
        report(EpochReport(1, 2, train, -2.5, -2.0, 65.0, 65.0))
    assert capsys.readouterr().out == f"epoch 1/2  {words}\n"


def test_tails_are_told_of_columns_that_are_bent(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("t", ("a", "b"), np.random.default_rng(0).normal(size=(60, 2)))
    show_columns(prepare(Recipe(name="t"), table), "t")
    assert "arcsinh" in capsys.readouterr().out
    recipe = Recipe(name="t", model={"family": "vae"})
    show_columns(prepare_observations(recipe, table), "t")
    shown = capsys.readouterr().out
    assert "continuous" in shown
    assert "tails" not in shown
    assert "arcsinh" not in shown


def test_a_published_vae_is_told_by_its_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_vae(tmp_path)
    separation = Separation(7, 0.91, 0.5)
    show_published(Published(folder, read_manifest(folder), separation, 4, 3), Path("c.pt"))
    shown = {line[:25].strip(): line[25:].strip() for line in capsys.readouterr().out.splitlines()}
    assert shown["test importance bound"] == "-6.000 ± 0.100 nats, 100 samples a row"
    assert shown["elbo"] == "-7.000 nats"
    assert shown["AUROC, labelled anomalies"] == "0.9100 of 7 rows"
    assert shown["onnxruntime vs float64"] == "median 1.0e-07, largest 1.0e-05 nats"
    assert shown["1 (default)"] == "elbo -6.043, importance bound -6.000 nats, 2 ms"
    assert "test log-likelihood" not in shown


def test_a_published_autoencoder_is_told_by_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_autoencoder(tmp_path)
    show_published(Published(folder, read_manifest(folder), None, 4, 3), Path("c.pt"))
    shown = capsys.readouterr().out
    assert "0.4000 ± 0.0100 deviations" in shown
    assert "nats" not in shown
    assert "next: logdet score auto FILE" in shown


def test_rows_that_were_trimmed_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_autoencoder(tmp_path)
    manifest = read_manifest(folder)
    told = {"train": Trimmed(share=0.02, rows=8, cut=-1.25)}
    rows = {"train": 420, "calibration": 60}
    provenance = manifest.provenance.model_copy(update={"trimmed": told, "rows": rows})
    lowest = Trimmed(share=0.02, rows=1, cut=None)
    calibration = manifest.calibration.model_copy(update={"trimmed": lowest})
    trimmed = manifest.model_copy(update={"provenance": provenance, "calibration": calibration})
    show_published(Published(folder, trimmed, None, 4, 3), Path("c.pt"))
    shown = {line[:22].strip(): line[22:].strip() for line in capsys.readouterr().out.splitlines()}
    assert shown["trimmed, train"] == "8 of 420 rows, lowest left -1.250 deviations"
    assert shown["trimmed, calibration"] == "1 of 60 rows, lowest left out of support"
    with training_progress(Recipe(name="t", trim=0.02)):
        assert capsys.readouterr().out == (
            "trim 0.02: fitted to all rows, then from the start without the 2 % that are least "
            "likely\n"
        )


def test_a_column_of_text_can_be_dropped(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,pressure\nr0,1.5\nr1,2.5\n")
    table, source = load_data(Recipe(name="t", drop=frozenset({"id"})), path)
    assert table.columns == ("pressure",)
    assert table.rows.tolist() == [[1.5], [2.5]]
    assert source == str(path)
    with pytest.raises(TableError, match="'id' holds 'r0'"):
        load_data(Recipe(name="t"), path)
    with pytest.raises(
        TableError, match=r"columns to drop that are not in .*: wind; there are: id, pressure"
    ):
        load_data(Recipe(name="t", drop=frozenset({"wind"})), path)


def test_an_archive_of_images_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.zeros((3, 2, 2), np.uint8), label=np.arange(3))
    table, _ = load_data(Recipe(name="t", drop=frozenset({"label"})), path)
    assert (table.image, table.columns) == (
        (2, 2, 1),
        ("pixel_0_0", "pixel_0_1", "pixel_1_0", "pixel_1_1"),
    )
    assert load_data(read_recipe("digits"), None)[0].image == (8, 8, 1)


def test_a_column_of_a_data_set_can_be_dropped() -> None:
    recipe = read_recipe("breast_cancer", ["drop=[mean_area]"])
    table, source = load_data(recipe, None)
    assert source == "breast_cancer"
    assert "mean_area" not in table.columns
    assert table.anomalies is not None
    assert table.anomalies.shape[1] == table.rows.shape[1] == len(table.columns) == 29


def test_a_file_in_place_of_a_recipes_own_data_is_what_provenance_says() -> None:
    shuttle = read_recipe("shuttle")
    assert _settled(shuttle, None, None) == shuttle
    settled = _settled(shuttle, None, Path("other.csv"))
    assert (settled.name, settled.data) == ("shuttle", None)
    assert _settled(read_recipe("table"), None, Path("Pump 7.csv")).name == "pump_7"


def test_ctrl_c_before_the_first_epoch_does_not_point_at_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.touch()
    _explain_interruption(checkpoint, FitState(), "epoch")
    assert "nothing was kept" in capsys.readouterr().err
    _explain_interruption(checkpoint, FitState(parameters={"w": torch.zeros(1)}), "epoch")
    assert "--resume goes on" in capsys.readouterr().err
    _explain_interruption(checkpoint, FitState(scores={"train": torch.zeros(1)}), "epoch")
    assert "--resume goes on" in capsys.readouterr().err


def test_the_command_in_a_bundle_tells_no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["/usr/bin/logdet", "train", "table", "--data", "/home/ann/x y/rows.csv"]
    monkeypatch.setattr(sys, "argv", [*typed, "--out=/srv/secret/bundles", "--set", "epochs=2"])
    expected = "logdet train table --data rows.csv --out=bundles --set epochs=2"
    assert command_line() == expected
