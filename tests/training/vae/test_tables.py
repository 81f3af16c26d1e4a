"""The tables of bounds and outliers: reading sets, telling gains, going on."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from training.recipes import VAEConfig
from training.table import Examples, Split
from training.tables.bounds import BASELINE, METHODS, Cell, read_cells, recipe_of, render
from training.tables.images import VALIDATION_IMAGES, images
from training.tables.outliers import MUTATED, mutated


def test_the_files_of_both_sets_are_read_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (VALIDATION_IMAGES + 5, 28, 28), dtype=np.uint8)
    test = train[:3]
    np.savez(tmp_path / "mnist.npz", x_train=train, x_test=test)
    for name, part in (("train", train), ("t10k", test)):
        with gzip.open(tmp_path / f"{name}-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
            file.write(b"\0" * 16 + part.tobytes())
    first, second = (images(name, tmp_path) for name in ("mnist", "fashion"))
    assert [len(p) for p in (first.train, first.validation, first.test)] == [5, 10_000, 3]
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(first, part).rows, getattr(second, part).rows)
    np.testing.assert_array_equal(first.test.rows[1], test[1].reshape(-1))


@pytest.mark.parametrize("method", METHODS)
def test_methods_differ_in_what_their_names_say_alone(method: str) -> None:
    baseline, config = recipe_of(BASELINE, 0).model, recipe_of(method, 0).model
    assert isinstance(baseline, VAEConfig)
    assert isinstance(config, VAEConfig)
    said = {"posterior", "prior", "latents", "posterior_layers", "posterior_hidden"}
    assert config.model_dump(exclude=said) == baseline.model_dump(exclude=said)
    assert recipe_of(method, 0).fit == recipe_of(BASELINE, 0).fit


def test_the_table_tells_means_over_seeds_and_dashes(tmp_path: Path) -> None:
    def cell(method: str, seed: int, bound: float, gain: float) -> Cell:
        settings = recipe_of(method, seed).model_dump_json(include={"seed", "model", "fit"})
        return Cell("mnist", seed, method, settings, bound - 1.0, bound, gain, 0.1, 60.0, 30, 28)

    cells = [cell(BASELINE, 0, -90.0, 0.0), cell("iaf 4", 0, -88.0, 2.0)]
    table = render([*cells, cell("iaf 4", 1, -87.0, 3.0)])
    assert "| no flow | 91.00 | 90.00 | – | 60 | 28 | 1 |" in table
    assert "| iaf 4 | 88.50 | 87.50 | 2.50 ± 1.00 | 60 | 28 | 2 |" in table
    assert "| nsf 4 | – | – | – | – | – | – |" in table
    assert read_cells(tmp_path / "none.jsonl") == []


def test_a_background_sees_a_share_of_the_pixels_replaced() -> None:
    rows = np.full((50, 784), 300.0)  # No byte: what is replaced can be told.
    part = Examples(rows, np.empty((50, 0)))
    changed = mutated(Split(part, part, part, part, part, "t"))
    for some in (changed.train, changed.validation):
        assert (some.rows != rows).mean() == pytest.approx(MUTATED, abs=0.01)
    np.testing.assert_array_equal(changed.test.rows, rows)
