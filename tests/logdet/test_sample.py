"""``logdet sample``."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from logdet import scoring
from logdet.files import read_table
from tests.bundles import MEAN, NAMES, SITE, exact
from tests.terminal import Run


def test_a_sample_is_the_same_for_the_same_seed_whatever_its_length(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sample", "gauss", "-n", 50, "--seed", 3, "-o", tmp_path / "long.npz")
    monkeypatch.setattr(scoring, "CHUNK_ROWS", 7)
    run("sample", "gauss", "-n", 20, "--seed", 3, "-o", tmp_path / "short.npz")
    run("sample", "gauss", "-n", 20, "--seed", 4, "-o", tmp_path / "other.npz")
    long, short, other = (
        read_table(tmp_path / f"{n}.npz").values for n in ("long", "short", "other")
    )
    np.testing.assert_allclose(short, long[:20], atol=1e-5)
    assert not np.allclose(other[:, 0], short[:, 0])


def test_a_sample_has_whole_counts_and_the_density_of_its_rows(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "rows.parquet"
    result = run("sample", "gauss", "-n", 300, "--seed", 0, "-o", output)
    assert result.stdout == f"drew 300 rows of seed 0 into {output}\n"
    table = parquet.read_table(output)
    assert table.column_names == [*NAMES, "log_prob"]
    assert str(table.schema.field("count").type) == "int64"
    assert set(table["site"].to_pylist()) == {SITE}
    assert ",7.1," in run("sample", "gauss", "-n", 1, "--seed", 0).stdout.splitlines()[1]
    x = np.column_stack([table[name].to_numpy() for name in NAMES])
    np.testing.assert_allclose(table["log_prob"].to_numpy(), exact(x).log_prob, atol=1e-4)


def test_a_sample_can_be_scored_again(run: Run, tmp_path: Path) -> None:
    for kind in (".csv", ".npz"):
        drawn = tmp_path / f"drawn{kind}"
        run("sample", "gauss", "-n", 40, "--seed", 1, "-o", drawn)
        result = run("score", "gauss", drawn, "-o", tmp_path / f"scored{kind}")
        assert result.stderr == "logdet: replaced the file's own log_prob\n"
    with np.load(tmp_path / "scored.npz") as scored, np.load(tmp_path / "drawn.npz") as drawn:
        np.testing.assert_allclose(scored["log_prob"], drawn["log_prob"], atol=1e-5)
        assert set(scored["status"].tolist()) == {"ok"}


def test_without_a_file_a_sample_is_csv_and_a_seed_that_draws_it_again(run: Run) -> None:
    first = run("sample", "gauss", "-n", 3)
    word, seed = first.stderr.split()
    assert word == "seed"
    assert run("sample", "gauss", "-n", 3, "--seed", seed).stdout == first.stdout
    assert first.stdout.splitlines()[0] == ",".join((*NAMES, "log_prob"))


def test_a_lower_temperature_draws_likelier_rows(run: Run, tmp_path: Path) -> None:
    means = []
    for temperature in (0.2, 1.0):
        path = tmp_path / f"{temperature}.npz"
        run("sample", "gauss", "-n", 200, "--seed", 0, "--temperature", temperature, "-o", path)
        means.append(read_table(path).values[:, -1].mean())
    assert means[0] > means[1] + 0.5


def test_temperature_nought_draws_the_middle(run: Run) -> None:
    rows = run("sample", "gauss", "-n", 3, "--seed", 0, "--temperature", 0).stdout.splitlines()[1:]
    assert len(rows) == 3
    assert set(rows) == {rows[0]}
    assert float(rows[0].split(",")[0]) == pytest.approx(MEAN[0], abs=1e-5)
