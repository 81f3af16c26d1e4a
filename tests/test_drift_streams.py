"""Streams of real rows: a million alike are silent, half a deviation in any feature is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import exported
from exported.manifest import Feature
from service.drift.difference import Difference, number_of_tests
from service.drift.windows import BLOCK_ROWS, LOOKS
from service.model import Model
from service.results import Evaluated
from service.runtime import Runtime
from tests.training.fits import publish, ring, tiny_recipe
from tests.watched import calibrated, drawn, show, taken
from training.datasets import load
from training.prepared import prepare
from training.recipes import Recipe

SHUTTLE = Path(exported.__file__).parent / "bundles" / "shuttle" / "1"
MILLION = 1_000_000
AT_ONCE = 1_000


@dataclass(frozen=True)
class Population:
    """Rows from which calibration rows and streams are drawn, independently of each other."""

    model: Model
    rows: NDArray[np.float64]
    seen: Evaluated


def population(folder: Path, rows: NDArray[np.float64]) -> Population:
    model = Model.load(folder, Runtime.choose("cpu", sessions=1))
    return Population(model, rows, model.evaluate(rows))


@pytest.fixture(scope="module")
def shuttle() -> Population:
    rows = load("shuttle").test
    assert rows is not None
    return population(SHUTTLE, rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Population:
    """Five features, three of them with heavy tails, and a flow that has hardly learnt."""
    table = ring(5).without(frozenset({"angle", "shift"}))
    made = publish(table, tiny_recipe("realnvp"), tmp_path_factory.mktemp("trained"))
    return population(made.folder, table.rows)


@pytest.mark.parametrize("known", [30, 2_279, 20_000])
def test_a_million_rows_that_are_alike_raise_no_alarm(shuttle: Population, known: int) -> None:
    silent(shuttle, known, seed=known)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("known", [10, 100, 2_279])
def test_many_millions_raise_none(
    shuttle: Population, trained: Population, known: int, seed: int
) -> None:
    for one in (shuttle, trained):
        silent(one, known, seed)


def silent(one: Population, known: int, seed: int) -> None:
    """At the rate of 0.01 a million rows raise an alarm in at most one of a hundred streams."""
    rng = np.random.default_rng(seed)
    sketch = calibrated(one.model, drawn(one.seen, known, rng))
    for _ in range(MILLION // AT_ONCE):
        show(sketch, drawn(one.seen, AT_ONCE, rng), AT_ONCE)
    assert (sketch.rows, sketch.alarms) == (MILLION, 0)
    assert sketch.level.rate == 0.01


@pytest.mark.parametrize("seed", range(3))
def test_at_a_high_rate_false_alarms_are_as_many_as_are_allowed_and_some(
    shuttle: Population, seed: int
) -> None:
    """Zero of zero would say little: p-values that are too small by a factor of ten fail here."""
    rng, rows = np.random.default_rng(seed), MILLION // 10
    sketch = calibrated(shuttle.model, drawn(shuttle.seen, 20_000, rng), rate=10_000.0)
    found: set[Difference] = set()
    for _ in range(rows // BLOCK_ROWS):
        show(sketch, drawn(shuttle.seen, BLOCK_ROWS, rng))
        found |= {look[1] for look in sketch.looks if look is not None}
    p_values = np.array([[d.shift_p, d.distance_p, *d.latents_p.ravel()] for d in found])
    assert p_values.shape == (LOOKS // 10, number_of_tests(9))
    hits = int((p_values <= sketch.level.p_value).sum())
    assert 0 < hits <= sketch.level.p_value * p_values.size
    assert 0 < sketch.alarms <= sketch.level.rate * rows / MILLION


def test_the_later_half_of_the_file_raises_none(shuttle: Population) -> None:
    """As docs/drift.md says: in its order, against the calibration rows of the bundle."""
    recipe = Recipe.model_validate(shuttle.model.manifest.provenance.recipe)
    known = prepare(recipe, load("shuttle")).split.calibration.rows
    sketch = calibrated(shuttle.model, shuttle.model.evaluate(known))
    show(sketch, shuttle.seen)
    assert (sketch.rows, sketch.alarms) == (22_750, 0)


@pytest.mark.parametrize("which", ["shuttle", "trained"])
def test_half_a_deviation_in_any_feature_is_found_within_two_thousand_rows(
    request: pytest.FixtureRequest, which: str
) -> None:
    one: Population = request.getfixturevalue(which)
    needed = {}
    for place, feature in enumerate(one.model.manifest.features):
        if feature.role == "modelled":
            moved = one.rows.copy()
            moved[:, place] += half_a_deviation(feature)
            needed[feature.name] = [rows_until(one, moved, seed) for seed in range(3)]
    assert len(needed) >= 5
    assert max(max(rows) for rows in needed.values()) <= 2_000, needed


def half_a_deviation(feature: Feature) -> float:
    """In the user's unit; whole numbers stay whole."""
    assert feature.deviation is not None
    half = 0.5 * feature.deviation
    return max(1.0, round(half)) if feature.kind == "integer" else half


def rows_until(one: Population, moved: NDArray[np.float64], seed: int) -> int:
    """Of a stream that has moved after 20,000 rows, until there is an alarm."""
    rng = np.random.default_rng(seed)
    sketch = calibrated(one.model, drawn(one.seen, 2_279, rng))
    show(sketch, drawn(one.seen, 20_100, rng))
    assert sketch.alarms == 0
    rows = one.model.evaluate(moved[rng.integers(0, len(moved), 4_000)])
    for count in range(4_000):
        show(sketch, taken(rows, slice(count, count + 1)))
        if sketch.alarms:
            return count + 1
    return 4_000
