"""``logdet train reverse_kl`` as a person uses it: an energy in a file, and no rows."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from exported.bundle import read_manifest
from logdet.cli import main
from tests.logdet.test_train import interrupted

SMALL = ["family=nice", "layers=1", "hidden=[4]", "marginal_bins=0", "batch=64", "warm_up=0"]
ENERGY = "def energy(z):\n    return 0.5 * ((z - 1.0) ** 2).sum(dim=1)\n"
FEATURES = ["--set", "features=[x, y]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the energy of a normal density of unit variance, centred at (1, 1)."""
    (tmp_path / "potential.py").write_text(ENERGY)
    return tmp_path


def typed(folder: Path, *more: str) -> list[str]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    places = ["--out", str(folder / "bundles"), "--runs", str(folder / "runs"), "--name", "hill"]
    return ["train", "reverse_kl", *settings, *places, *more]


def energy(folder: Path) -> list[str]:
    return ["--set", f"energy={folder / 'potential.py'}:energy", *FEATURES]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def told(output: str) -> dict[str, str]:
    return {line[:25].strip(): line[25:].strip() for line in output.splitlines()}


def test_an_energy_becomes_a_bundle_that_is_used_like_any_other(folder: Path) -> None:
    trained = run(*typed(folder, *energy(folder), "--set", "steps=300"))
    assert trained.exit_code == 0, trained.output
    shown = told(trained.output)
    estimate, _, error = shown["log normaliser, estimate"].split()[:3]
    assert abs(float(estimate) - math.log(2.0 * math.pi)) < 3.0 * float(error) + 1e-3
    assert shown["effective sample size"].endswith("of 20,000 draws")
    assert "mean of -E - log q" in shown["lower bound"]
    assert "likelihood" not in trained.output
    for expected in (
        "energy potential.py:energy of 2 features (x, y), no rows",
        "step 300/300  bound of the log normaliser 1.8",
        "fit done after 300 steps\n",
        "(300 steps)",
        "next: logdet sample hill -n 1000 -o FILE",
    ):
        assert expected in trained.output
    bundles = ["--bundles", folder / "bundles"]
    drawn = folder / "drawn.csv"
    assert run("verify", "hill", *bundles).exit_code == 0
    assert run("sample", "hill", "-n", 500, "-o", drawn, *bundles).exit_code == 0
    rows = np.genfromtxt(drawn, delimiter=",", names=True)
    assert abs(rows["x"].mean() - 1.0) < 0.2
    scored = run("score", "hill", drawn, *bundles)
    assert scored.exit_code == 0, scored.output
    assert "p_value" in scored.output


def test_a_checkpoint_is_published_again_and_its_energy_may_have_moved(folder: Path) -> None:
    trained = run(*typed(folder, *energy(folder), "--set", "steps=20"))
    assert trained.exit_code == 0, trained.output
    checkpoint, bundles = folder / "runs" / "hill" / "checkpoint.pt", folder / "bundles"
    (folder / "potential.py").rename(folder / "moved.py")
    gone = run("export", checkpoint, "--out", bundles)
    assert gone.exit_code == 1
    assert "the energy of this run is not at" in gone.stderr
    again = run("export", checkpoint, "--data", folder / "moved.py", "--out", bundles)
    assert again.exit_code == 0, again.output
    assert "log normaliser, estimate" in again.output
    first, second = (read_manifest(bundles / "hill" / version) for version in "12")
    assert first.held_out == second.held_out


@pytest.mark.serve
def test_ctrl_c_keeps_the_steps_and_resume_goes_on(folder: Path) -> None:
    arguments = typed(folder, *energy(folder), "--set", "steps=50000")
    checkpoint = folder / "runs" / "hill" / "checkpoint.pt"
    code, stderr = interrupted([sys.executable, "-m", "logdet", *arguments], checkpoint)
    assert code == 130
    assert b"steps: --resume goes on" in stderr
    again = run(*arguments)
    assert again.exit_code == 1
    assert "steps of this run, interrupted: add --resume to go on" in again.stderr
    shorter = run(*typed(folder, "--set", "steps=10", "--resume"))
    assert "only threads may change, got steps=10" in shorter.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (FEATURES, "expected an energy, got none: add --set energy=FILE.py:FUNCTION"),
        (["--set", "energy=ENERGY"], "got none: add --set 'features=[x, y]'"),
        (["--set", "energy=ENERGY", *FEATURES, "--data", "rows.csv"], "takes no rows, got --data"),
        (["--set", "energy=nothing.py:energy", *FEATURES], "there is no file nothing.py"),
        (
            ["--set", "energy=ENERGY", *FEATURES, "--set", "base=uniform"],
            "needs base: standard_normal, got uniform",
        ),
        (["--set", "energy=ENERGY", *FEATURES, "--resume"], "no checkpoint at"),
    ],
)
def test_a_users_mistake_is_one_line(folder: Path, more: list[str], message: str) -> None:
    place = f"{folder / 'potential.py'}:energy"
    result = run(*typed(folder, *(word.replace("ENERGY", place) for word in more)))
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith("logdet: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (folder / "runs").exists()
