"""Where densities end and how they fall off: bases and bounds from a fit to served answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.model import Model
from service.results import OK, OUT_OF_SUPPORT
from service.runtime import Runtime
from training.checkpoint import FitState
from training.recipes import Recipe
from training.run import Run
from training.table import Table

ROWS = 600
TINY = {"layers": 1, "bins": 4, "hidden": [8], "marginal_bins": 4}
BOUNDS = {"share": [0, 1], "wait": [0, None], "debt": [None, 0], "stars": [1, 5]}


def serve(table: Table, recipe: dict, tmp_path: Path) -> Model:
    model = TINY | recipe.pop("model", {})
    fit = {"epochs": 3, "batch_rows": 64}
    chosen = Recipe.model_validate({"name": "made", "model": model, "fit": fit, **recipe})
    run = Run(chosen, table, "made", "logdet train", tmp_path / "runs")
    published = run.publish(run.fit(FitState(), lambda report: None), tmp_path / "bundles")
    return Model.load(published.folder, Runtime.choose("cpu", 1))


def clusters() -> Table:
    rng = np.random.default_rng(0)
    rows = rng.choice([-3.0, 3.0], (ROWS, 2)) + 0.5 * rng.standard_t(4, (ROWS, 2))
    return Table("clusters", ("x", "y"), rows)


def ending() -> Table:
    """A share that is often 0 or 1, a wait, a debt, a number of stars, and a free column."""
    rng = np.random.default_rng(0)
    columns = {
        "share": np.clip(rng.normal(0.5, 0.3, ROWS), 0.0, 1.0),
        "wait": rng.exponential(3.0, ROWS),
        "debt": -rng.gamma(2.0, 50.0, ROWS),
        "stars": np.clip(np.rint(rng.normal(4.0, 1.0, ROWS)), 1.0, 5.0),
        "free": rng.normal(0.0, 2.0, ROWS),
    }
    return Table("ending", tuple(columns), np.stack(list(columns.values()), axis=1))


@pytest.fixture(scope="module", params=["student_t", "gaussian_mixture", "uniform"])
def based(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    more = {"mixture_components": 3} if request.param == "gaussian_mixture" else {}
    folder = tmp_path_factory.mktemp(request.param)
    return serve(clusters(), {"model": {"base": request.param, **more}}, folder)


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Five of its own test rows are out of bounds."""
    whole = ending()
    test = whole.rows[:50].copy()
    test[:5, 1] = -1.0
    table = Table("ending", whole.columns, whole.rows, test=test)
    return serve(table, {"bounds": BOUNDS}, tmp_path_factory.mktemp("bounded"))


def test_a_base_is_learned_published_and_served(based: Model) -> None:
    rows, accuracy = clusters().rows, based.manifest.accuracy
    assert accuracy.log_prob_error.max < 1e-3
    assert accuracy.mass == pytest.approx(1.0, abs=2e-3)
    drawn = based.sample(500, seed=4).rows
    assert (drawn.status == OK).all()
    np.testing.assert_allclose(based.evaluate(drawn.x).log_prob, drawn.log_prob, atol=1e-3)
    encoded = based.evaluate(rows)
    back = based.decode(encoded.z)
    np.testing.assert_allclose(back.x, rows, atol=1e-2)
    np.testing.assert_allclose(back.log_prob, encoded.log_prob, atol=2e-2)


@pytest.mark.parametrize("based", ["uniform"], indirect=True)
def test_latents_of_a_uniform_base_are_probabilities(based: Model) -> None:
    z = based.evaluate(clusters().rows).z
    assert ((z > 0.0) & (z < 1.0)).all()
    outside = based.decode(np.array([[0.5, 0.5], [0.5, 1.5], [1.0, 0.0]]))
    assert outside.status.tolist() == [OK, OUT_OF_SUPPORT, OK]
    assert np.isnan(outside.x[1]).all()
    assert outside.log_prob[1] == -np.inf
    assert (based.sample(20, seed=0, temperature=30.0).rows.status == OK).all()


def test_the_manifest_says_where_columns_end(bounded: Model) -> None:
    support = {feature.name: feature.support for feature in bounded.manifest.features}
    assert support == {
        "share": (0.0, 1.0),
        "wait": (0.0, None),
        "debt": (None, 0.0),
        "stars": (1.0, 5.0),
        "free": (None, None),
    }


def test_samples_stay_within_the_bounds_and_keep_their_density(bounded: Model) -> None:
    drawn = bounded.sample(3000, seed=1, temperature=1.3).rows
    assert (drawn.status == OK).all()
    share, wait, debt, stars, _ = drawn.x.T
    assert (share.min(), share.max()) == (0.0, 1.0)  # what is left over is moved to the ends
    assert wait.min() >= 0.0
    assert debt.max() <= 0.0
    assert set(stars.tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}
    np.testing.assert_allclose(bounded.evaluate(drawn.x).log_prob, drawn.log_prob, atol=1e-3)


def test_ends_are_in_support_and_what_is_beyond_is_not(bounded: Model) -> None:
    row = np.median(ending().rows, axis=0)
    inside = [(0, 0.0), (0, 1.0), (1, 0.0), (2, 0.0), (3, 1.0), (3, 5.0)]
    outside = [(0, -1e-6), (0, 1.001), (1, -1e-9), (2, 1e-9), (3, 0.0), (3, 6.0), (3, 2.5)]
    for changes, status in ((inside, OK), (outside, OUT_OF_SUPPORT)):
        rows = np.tile(row, (len(changes), 1))
        for i, (column, value) in enumerate(changes):
            rows[i, column] = value
        assert bounded.evaluate(rows).status.tolist() == [status] * len(rows)


def test_a_test_row_out_of_bounds_is_counted_and_not_measured(bounded: Model) -> None:
    held_out, accuracy = bounded.manifest.held_out, bounded.manifest.accuracy
    assert (held_out.rows, held_out.out_of_support, accuracy.rows) == (45, 5, 45)


@pytest.mark.parametrize(("base", "lost"), [("standard_normal", 3e-3), ("student_t", 5e-3)])
def test_the_mass_within_the_bounds_is_one(base: str, lost: float, tmp_path: Path) -> None:
    """But for what the tails of the latents put beyond the ends, which the manifest tells."""
    share = np.random.default_rng(0).beta(1.0, 2.0, (ROWS, 1))
    recipe = {"bounds": {"share": [0, 1]}, "model": {"base": base}}
    model = serve(Table("share", ("share",), share), recipe, tmp_path)
    assert model.manifest.accuracy.mass == pytest.approx(1.0, abs=lost)
