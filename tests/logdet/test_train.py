"""``logdet train`` and ``logdet export`` as a person uses them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from exported.bundle import read_bundle, versions
from logdet.cli import main
from logdet.files import write_table

SMALL = ["--set", "layers=1", "--set", "bins=4", "--set", "hidden=[8]", "--set", "batch_rows=64"]
STARTED_WITHIN_S = 60.0


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pressure = rng.normal(5.0, 1.0, 300)
    table = np.column_stack([pressure, rng.poisson(3.0, 300), np.full(300, 2.0)])
    path = tmp_path / "Pump Data.csv"
    np.savetxt(path, table, delimiter=",", header="pressure,count,site", comments="", fmt="%.17g")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def places(folder: Path) -> list[str]:
    return ["--out", str(folder / "bundles"), "--runs", str(folder / "runs")]


def test_a_csv_becomes_a_bundle_and_its_checkpoint_another(csv: Path, tmp_path: Path) -> None:
    trained = run("train", "table", "--data", csv, "--set", "epochs=2", *SMALL, *places(tmp_path))
    assert trained.exit_code == 0, trained.output
    assert "this run publishes" not in trained.output
    for expected in ("210 train", "constant: not modelled", "test log-likelihood", "pump_data/1"):
        assert expected in trained.output
    first = read_bundle(tmp_path / "bundles" / "pump_data" / "1").manifest
    assert [f.name for f in first.features] == ["pressure", "count", "site"]
    assert first.features[1].median == 3.0
    assert first.provenance.data_name == "Pump Data"

    kept = tmp_path / "kept.pt"
    (tmp_path / "runs" / "pump_data" / "checkpoint.pt").rename(kept)
    exported = run("export", kept, "--out", tmp_path / "bundles")
    assert exported.exit_code == 0, exported.output
    second = read_bundle(tmp_path / "bundles" / "pump_data" / "2").manifest
    assert second.held_out == first.held_out
    assert second.provenance.command == first.provenance.command

    verified = run("verify", "pump_data/2", "--bundles", tmp_path / "bundles")
    assert verified.exit_code == 0, verified.output


def test_the_next_version_of_a_bundle_is_announced_before_the_fit(
    csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.run.Run.fit", interrupted)
    (tmp_path / "bundles" / "pump_data" / "1").mkdir(parents=True)
    result = run("train", "table", "--data", csv, *SMALL, *places(tmp_path))
    assert result.exit_code == 130
    assert "pump_data has version 1: this run publishes version 2 beside it" in result.output


def interrupted(command: list[str], checkpoint: Path) -> tuple[int, bytes]:
    """Run a command, send it Ctrl-C once there is a checkpoint; exit code and stderr."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while not checkpoint.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return process.returncode, stderr


@pytest.mark.serve
def test_ctrl_c_keeps_the_last_epoch_and_resume_goes_on(csv: Path, tmp_path: Path) -> None:
    settings = [*SMALL, "--set", "patience=100000", *places(tmp_path), "--name", "pumps"]
    command = [sys.executable, "-m", "logdet", "train", "table", "--data", str(csv), *settings]
    checkpoint = tmp_path / "runs" / "pumps" / "checkpoint.pt"
    code, stderr = interrupted([*command, "--set", "epochs=100000"], checkpoint)
    assert code == 130
    assert b"--resume goes on" in stderr
    assert b"Traceback" not in stderr
    assert not (tmp_path / "bundles").exists()

    from training.checkpoint import load

    again = run("train", "table", "--data", csv, *settings)
    assert again.exit_code == 1
    assert "add --resume to go on, or --restart" in again.stderr
    rate = ["--set", "learning_rate=0.1", "--resume"]
    faster = run("train", "table", "--data", csv, *settings, *rate)
    assert faster.exit_code == 1
    assert "only epochs, patience, max_seconds, clock, threads may change" in faster.stderr
    done = load(checkpoint)[2].epoch
    resumed = run(
        "train", "table", "--data", csv, *settings, "--set", f"epochs={done + 1}", "--resume"
    )
    assert resumed.exit_code == 0, resumed.output
    recipe = read_bundle(tmp_path / "bundles" / "pumps" / "1").manifest.provenance.recipe
    assert recipe["fit"]["patience"] == 100000
    assert recipe["fit"]["epochs"] == done + 1
    assert load(checkpoint)[2].epoch == done + 1
    assert versions(tmp_path / "bundles", "pumps") == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table"], "recipe table has no data of its own: add --data FILE"),
        (["tabel", "--data", "CSV"], "no recipe 'tabel'"),
        (["table", "--data", "nothing.csv"], "there is no file nothing.csv"),
        (["table", "--data", "CSV", "--set", "epochs=none"], "fit.epochs"),
        (["table", "--data", "CSV", "--name", "Pumps!"], "name"),
        (["table", "--data", "CSV", "--resume"], "no checkpoint at"),
        (["table", "--data", "CSV", "--set", "drop=[wind]"], "wind"),
    ],
)
def test_a_users_mistake_is_one_line(
    csv: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [str(csv) if a == "CSV" else a for a in arguments]
    result = run("train", *given, *places(tmp_path))
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith("logdet: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_missing_and_text_cells_are_named_and_nothing_is_trained(tmp_path: Path) -> None:
    path = tmp_path / "holes.csv"
    rows = [f"{i},{i % 7}" for i in range(100)]
    rows[3], rows[50] = "3,", "50,broken"
    path.write_text("\n".join(["a,b", *rows]) + "\n")
    result = run("train", "table", "--data", path, *places(tmp_path))
    assert result.exit_code == 1
    for expected in ("line 5", "line 52", "'b'", "broken"):
        assert expected in result.stderr
    assert result.stderr.endswith("; leave a column out with --set 'drop=[NAME]'\n")
    assert not (tmp_path / "runs").exists()


def test_a_missing_cell_is_no_reason_to_leave_its_column_out(tmp_path: Path) -> None:
    path = tmp_path / "holes.csv"
    path.write_text("a,b\n" + "\n".join(f"{i}," for i in range(100)) + "\n")
    result = run("train", "table", "--data", path, *places(tmp_path))
    assert result.exit_code == 1
    assert "drop" not in result.stderr


def test_a_text_column_of_a_parquet_file_is_refused_with_the_same_hint(tmp_path: Path) -> None:
    path = tmp_path / "pumps.parquet"
    write_table(path, {"a": np.arange(100.0), "note": np.array(["x"] * 100)})
    result = run("train", "table", "--data", path, *places(tmp_path))
    assert "column 'note' of pumps.parquet holds string" in result.stderr
    assert result.stderr.endswith("leave a column out with --set 'drop=[NAME]'\n")
