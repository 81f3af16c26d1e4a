"""What a person is told about a run, and what a bundle is told about a person."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from exported.accuracy import ErrorSummary, StepChoice, StepChoices
from logdet.commands.train import _command_line, _explain_interruption, _settled, load_data
from logdet.errors import TableError
from logdet.training_view import _steps, publishing, show_columns, show_next_version
from training.checkpoint import FitState
from training.prepared import prepare
from training.recipes import Recipe, read_recipe
from training.table import Table


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
    with publishing(1, 1):
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
    assert (table.image, table.columns) == ((2, 2, 1), ("p_0_0", "p_0_1", "p_1_0", "p_1_1"))
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
    _explain_interruption(checkpoint, FitState())
    assert "nothing was kept" in capsys.readouterr().err
    _explain_interruption(checkpoint, FitState(parameters={"w": torch.zeros(1)}))
    assert "--resume goes on" in capsys.readouterr().err


def test_the_command_in_a_bundle_tells_no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["/usr/bin/logdet", "train", "table", "--data", "/home/ann/x y/rows.csv"]
    monkeypatch.setattr(sys, "argv", [*typed, "--out=/srv/secret/bundles", "--set", "epochs=2"])
    expected = "logdet train table --data rows.csv --out=bundles --set epochs=2"
    assert _command_line() == expected
