"""``logdet score --explain`` and ``--nearest``: why, and what would be normal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from logdet import explaining
from tests.bundles import NAMES, SITE, exact, ordinary_rows
from tests.latents import write_autoencoder
from tests.terminal import Run
from tests.variants import write_ordered


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Rows of which the last two are far off in pressure, and the last has an impossible site."""
    x = ordinary_rows(60, seed=8)
    x[-2:, 0] += 40.0
    x[-1, 3] = SITE + 1.0
    file = tmp_path / "odd.parquet"
    parquet.write_table(pa.table(dict(zip(NAMES, x.T, strict=True))), file)
    return file


def test_the_summary_says_because_of_what(run: Run, odd: Path) -> None:
    shown = run("score", "gauss", odd, "--explain").stdout
    header, impossible, far = shown.splitlines()[-6:-3]
    assert header.endswith("because (nats)")
    assert impossible.endswith("out_of_support  site -inf")
    assert "ok              pressure -" in far
    assert "because" not in run("score", "gauss", odd).stdout


def test_the_columns_stand_behind_those_of_the_score(
    run: Run, odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for block in (8192, 7):
        monkeypatch.setattr(explaining, "BLOCK_ROWS", block)
        out = tmp_path / f"why{block}.parquet"
        result = run("score", "gauss", odd, "--explain", "--nearest", "-o", out)
        assert result.exit_code == 0, result.stderr
        tables.append(parquet.read_table(out))
    table, cut = tables
    names = [f"{what}_{name}" for what in ("contribution", "nearest") for name in NAMES]
    names += ["log_prob_nearest", *(f"change_{name}" for name in NAMES)]
    assert table.column_names[-len(names) :] == names
    for name in names:
        np.testing.assert_array_equal(table[name].to_numpy(), cut[name].to_numpy())
    near = np.stack([table[f"nearest_{name}"].to_numpy() for name in NAMES], axis=1)
    assert np.isnan(near[:-2]).all()
    told = table["log_prob_nearest"].to_numpy()[-2:]
    np.testing.assert_allclose(exact(near[-2:]).log_prob, told, atol=1e-3)
    assert (near[-2:, 3] == SITE).all()


def test_the_method_is_the_model_s_best_or_the_one_named(
    run: Run, bundles: Path, odd: Path
) -> None:
    write_ordered(bundles)
    best = run("score", "ordered", odd, "--explain").stdout
    assert best == run("score", "ordered", odd, "--explain", "--method", "conditional").stdout
    assert best != run("score", "ordered", odd, "--explain", "--method", "leave_one_out").stdout


def test_what_cannot_be_explained_is_refused(run: Run, bundles: Path, odd: Path) -> None:
    lacking = run("score", "gauss", odd, "--explain", "--method", "conditional")
    assert "--method to be one of 'leave_one_out', which gauss has, got 'cond" in lacking.stderr
    assert "--explain beside --method" in run("score", "gauss", odd, "--method", "x").stderr
    assert "-o FILE for the columns of --nearest" in run("score", "gauss", odd, "--nearest").stderr
    write_autoencoder(bundles)
    refused = run("score", "auto", odd, "--explain")
    assert refused.exit_code == 1
    assert "expected a flow for --explain and --nearest, got auto" in refused.stderr
