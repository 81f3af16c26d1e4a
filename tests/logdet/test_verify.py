"""``logdet verify``."""

from pathlib import Path

import pytest

from tests.bundles import write_gaussian
from tests.latents import write_autoencoder, write_vae
from tests.terminal import Run, lines


def test_verify_shows_each_output_with_its_error_and_tolerance(run: Run) -> None:
    result = run("verify", "gauss", "--provider", "cpu")
    assert result.exit_code == 0
    table = lines(result.stdout)
    assert [row[:2] for row in table[1:6]] == [
        ["log_prob", "log_prob"],
        ["log_prob", "z"],
        ["log_prob", "log_det"],
        ["decode", "x"],
        ["decode", "log_det"],
    ]
    assert all(float(row[2]) < 1e-5 and row[-1] == "ok" for row in table[1:6])
    assert result.stdout.endswith("gauss/2 is as its manifest says, on cpu\n")


def test_verify_fails_where_the_golden_rows_do_not_replay(run: Run, bundles: Path) -> None:
    write_gaussian(bundles, version=3, golden_offset=0.5)
    result = run("verify", "gauss")
    assert result.exit_code == 1
    assert lines(result.stdout)[1][:2] == ["log_prob", "log_prob"]
    assert "MISMATCH" in result.stdout.splitlines()[1]
    assert "logdet: gauss/3 does not replay: 1 of 5 outputs are off" in result.stderr
    assert run("verify", "gauss/2").exit_code == 0


def test_verify_fails_on_a_changed_byte(run: Run, bundles: Path) -> None:
    path = bundles / "gauss" / "1" / "calibration.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    result = run("verify", "gauss/1")
    assert result.exit_code == 1
    assert result.stderr.startswith("logdet: gauss/1 is refused: calibration.npz is not the file")


@pytest.mark.parametrize("has_depth", [True, False])
def test_verify_replays_every_graph_of_a_vae(run: Run, bundles: Path, has_depth: bool) -> None:
    write_vae(bundles, has_depth=has_depth)
    result = run("verify", "vae", "--provider", "cpu")
    assert result.exit_code == 0
    assert {row[0] for row in lines(result.stdout)[1:-1]} == {
        "posterior",
        "log_weight",
        "decode",
        "draw",
        "reconstruct",
    }
    write_vae(bundles, version=2, golden_offset=0.5)
    worse = run("verify", "vae/2")
    assert worse.exit_code == 1
    assert "vae/2 does not replay: 1 of 9 outputs are off" in worse.stderr


def test_verify_replays_every_graph_of_an_autoencoder(run: Run, bundles: Path) -> None:
    write_autoencoder(bundles)
    result = run("verify", "auto", "--provider", "cpu")
    assert result.exit_code == 0
    assert [row[0] for row in lines(result.stdout)[1:-1]].count("reconstruct") == 2
