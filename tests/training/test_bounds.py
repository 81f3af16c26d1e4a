"""Declared ends of columns, from the recipe to the preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.bijections import ArcsinhTails, Bounded, Standardise
from training.columns import describe_columns
from training.prepared import prepare
from training.recipes import Recipe, read_recipe
from training.table import Table

NONE: frozenset[str] = frozenset()


def table(rows: int = 800) -> Table:
    rng = np.random.default_rng(0)
    columns = {
        "share": rng.beta(0.5, 0.5, rows),
        "wait": rng.exponential(3.0, rows),
        "stars": rng.integers(1, 6, rows).astype(float),
        "free": rng.normal(0.0, 2.0, rows),
    }
    return Table("made", tuple(columns), np.stack(list(columns.values()), axis=1))


def test_without_bounds_the_preprocessing_has_no_layer_for_them() -> None:
    layers = prepare(Recipe(name="t"), table()).preprocessing.bijections
    assert [type(layer) for layer in layers] == [Standardise, ArcsinhTails, Standardise]


def test_linear_columns_have_unit_variance_and_keep_their_distances() -> None:
    prepared = prepare(Recipe(name="t", linear=True), table())
    assert [type(layer) for layer in prepared.preprocessing.bijections] == [Standardise] * 2
    rows = prepared.dequantised(prepared.split.train.rows, np.random.default_rng(0))
    scaled, _ = prepared.preprocessing.encode(rows)
    assert scaled.var(dim=0).numpy() == pytest.approx(1.0, abs=0.05)
    between = (scaled[0] - scaled[1:]).abs() * rows.std(dim=0)
    assert between.numpy() == pytest.approx((rows[0] - rows[1:]).abs().numpy(), rel=0.03)


@pytest.mark.parametrize("recipe", ["vae", "autoencoder"])
def test_linear_is_refused_of_what_bends_no_columns(recipe: str) -> None:
    with pytest.raises(ValueError, match=f"got family {recipe}$"):
        read_recipe(recipe, ["linear=true"])


def test_bounded_columns_are_opened_in_their_own_units() -> None:
    bounds = {"share": (0.0, 1.0), "wait": (0.0, None), "stars": (1.0, 5.0)}
    prepared = prepare(Recipe(name="t", bounds=bounds), table())
    first, opening, second, *_ = prepared.preprocessing.bijections
    assert isinstance(first, Standardise)
    assert isinstance(opening, Bounded)
    assert isinstance(second, Standardise)
    assert first.centre[:3].tolist() == [0.5, 0.0, 3.0]
    assert first.scale[[0, 2]].tolist() == [0.5, 2.5]
    assert first.scale[1] == pytest.approx(3.0 * np.log(2.0), rel=0.15)
    assert (second.centre[3], second.scale[3]) == (0.0, 1.0)
    x, log_det = prepared.preprocessing.encode(prepared.modelled(prepared.split.train.rows))
    assert torch.isfinite(x).all()
    assert torch.isfinite(log_det).all()
    assert (x.mean(dim=0)[[0, 1, 3]].abs() < 0.05).all()


def test_tails_are_decided_on_what_the_flow_sees() -> None:
    made = table()
    rows = np.random.default_rng(1).beta(0.5, 0.5, (800, 1))
    (free,) = describe_columns(("x",), rows, NONE).all
    (ended,) = describe_columns(("x",), rows, NONE, {"x": (0.0, 1.0)}).all
    assert ended.tightness != free.tightness
    assert ended.notes == ("bounds 0 to 1",)
    assert describe_columns(made.columns, made.rows, NONE).all[3].interval is None


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"share": (0.1, 1.0)}, r"column 'share' has the value \S+, below its bound 0.1"),
        ({"wait": (None, 5.0)}, r"column 'wait' has the value \S+, above its bound 5"),
        ({"stars": (0.5, 5.0)}, r"expected whole bounds of the whole numbers 'stars'"),
        ({"wind": (0.0, None)}, "columns given bounds but not in the data: wind; there are: "),
    ],
)
def test_bounds_that_do_not_fit_the_data_are_refused(bounds: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(Recipe(name="t", bounds=bounds), table())


def test_a_validation_row_out_of_bounds_is_refused_too() -> None:
    made = table()
    prepared = prepare(Recipe(name="t"), made)
    largest = float(prepared.split.train.rows[:, 1].max())
    made.rows[made.rows[:, 1] == prepared.split.validation.rows[0, 1], 1] = largest + 1.0
    with pytest.raises(ValueError, match="column 'wait' has the value"):
        prepare(Recipe(name="t", bounds={"wait": (0.0, largest)}), made)


def test_whole_numbers_end_with_their_last_cell() -> None:
    made = table()
    columns = describe_columns(made.columns, made.rows, NONE, {"stars": (1.0, 5.0)})
    assert columns.edges[:, 2].tolist() == [0.5, 5.5]
    rows = np.array([[0.5, 1.0, stars, 0.0] for stars in (0.0, 1.0, 5.0, 6.0)])
    assert columns.in_support(rows).tolist() == [False, True, True, False]
    decoded = np.array([[0.5, 1.0, stars, 0.0] for stars in (0.5, 4.4, 5.5)])
    assert columns.emitted(decoded)[:, 2].tolist() == [1.0, 4.0, 5.0]


@pytest.mark.parametrize(("offset", "wide"), [(0.0, False), (1000.0, True)])
def test_ends_far_from_nought_ask_for_float64(offset: float, wide: bool) -> None:
    share = offset + np.random.default_rng(0).random((100, 1))
    columns = describe_columns(("x",), share, NONE, {"x": (offset, offset + 1.0)})
    assert columns.needs_float64_input() == wide


def test_bounds_are_set_from_the_command_line() -> None:
    recipe = read_recipe("table", ["bounds={price: [0, null], share: [0, 1]}"])
    assert recipe.bounds == {"price": (0.0, None), "share": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("bounds={a: [null, null]}", r"bounds.a: .*at least one end"),
        ("bounds={a: [1, 0]}", r"bounds.a: .*the low end under the high end"),
        (
            "base=cauchy",
            "model.base: expected one of standard_normal, student_t, .*, got 'cauchy'",
        ),
        ("mixture_components=3", "mixture_components needs base: gaussian_mixture"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_recipe("table", [setting])


def test_a_base_is_set_from_the_command_line() -> None:
    recipe = read_recipe("table", ["base=gaussian_mixture", "mixture_components=3"])
    assert (recipe.model.base, recipe.model.mixture_components) == ("gaussian_mixture", 3)
