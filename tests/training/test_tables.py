"""The tables: protocols, the floors they must reproduce, and going on after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.recipes import Recipe
from training.tables.cells import measured_cell, missing
from training.tables.methods import Measured, flow, mixture, prepared_fold
from training.tables.protocols import continuous_columns, maf_split, rnade_folds
from training.tables.results import Cell, append_cell, grid, newest, read_cells


def _rows(rows: int = 2000) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rng = np.random.default_rng(0)
    first = rng.normal(10.0, 3.0, rows)
    return np.stack([first, 0.5 * first + rng.normal(0.0, 1.0, rows)], axis=1)


def test_a_protocol_divides_every_row_once_and_scales_by_what_may_be_seen() -> None:
    rows = _rows()
    fold = maf_split(rows, whole=False)
    assert [len(p) for p in (fold.train, fold.validation, fold.test)] == [1620, 180, 200]
    together = np.concatenate([fold.train, fold.validation, fold.test])
    assert sorted(together[:, 0]) == sorted(rows[:, 0])
    seen = np.concatenate([fold.standardised(0), fold.standardised(1)])
    assert np.abs(seen.mean(axis=0)).max() < 1e-9
    assert np.abs(seen.std(axis=0) - 1).max() < 1e-9


def test_ten_folds_test_every_row_once() -> None:
    folds = list(rnade_folds(_rows(205)))
    tested = np.concatenate([fold.test for fold in folds])
    assert len(folds) == 10
    assert sorted(tested[:, 0]) == sorted(_rows(205)[:, 0])


def test_columns_without_a_density_are_left_out() -> None:
    rows = _rows()
    few = np.arange(len(rows)) % 20
    twin = rows[:, 0] * 2.0 + 1e-3 * rows[:, 1]
    assert (continuous_columns(np.column_stack([few, rows, twin])) == rows).all()


def test_a_gaussian_floor_is_the_maximum_likelihood_of_a_gaussian() -> None:
    fold = maf_split(_rows(), whole=False)
    train, test = fold.standardised(0), fold.standardised(2)
    z = np.linalg.solve(np.linalg.cholesky(np.cov(train, rowvar=False)), (test - train.mean(0)).T)
    log_det = np.linalg.slogdet(np.cov(train, rowvar=False))[1]
    nats = -0.5 * (z**2).sum(axis=0) - np.log(2.0 * np.pi) - 0.5 * log_det
    assert mixture(fold, 1).nats.mean() == pytest.approx(nats.mean(), abs=2e-3)


@pytest.mark.parametrize("whole", [False, True], ids=["continuous", "whole"])
def test_a_flow_is_told_in_the_units_of_the_floors(whole: bool) -> None:
    """On Gaussian rows both know the truth, so they must agree about the nats."""
    rows = np.round(_rows() * 20.0) if whole else _rows()
    fold = maf_split(rows, whole=whole)
    small = {"family": "maf", "layers": 1, "hidden": [8], "marginal_bins": 0}
    recipe = Recipe.model_validate(
        {"name": "t", "model": small, "fit": {"epochs": 12, "batch_rows": 64}}
    )
    kinds = {column.kind for column in prepared_fold(fold, recipe).columns.all}
    assert kinds == {"integer" if whole else "continuous"}
    assert flow(fold, recipe).nats.mean() == pytest.approx(mixture(fold, 1).nats.mean(), abs=0.1)


def test_measured_cells_are_kept_and_not_measured_again(tmp_path: Path) -> None:
    path, place = tmp_path / "deep" / "cells.jsonl", ("set", 0, "nsf")
    recipe = Recipe(name="table")
    assert missing(path, place, recipe)
    append_cell(path, measured_cell(place, recipe, Measured(np.array([1.0, 3.0]), 2.0, 5)))
    assert not missing(path, place, recipe)
    assert missing(path, place, recipe.model_copy(update={"seed": 1}))
    assert missing(path, ("set", 1, "nsf"), recipe)
    kept = read_cells(path)[0]
    assert (kept.nats, kept.worst, kept.rows, kept.epochs) == (2.0, 1.0, 2, 5)


def test_a_table_shows_the_newest_cell_and_a_dash_where_there_is_none() -> None:
    old = Cell("a", 0, "nsf", "x", 1.0, 0.1, 0.0, 2, 1.0, 1)
    new = Cell("a", 0, "nsf", "y", 2.0, 0.1, 0.0, 2, 1.0, 1)
    assert newest([old, new]) == [new]
    table = grid("method", ["nsf", "maf"], {"a": {"nsf": "2.00"}})
    assert table.splitlines() == ["| method | a |", "|---|--:|", "| nsf | 2.00 |", "| maf | – |"]
