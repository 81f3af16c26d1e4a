"""Weights into bounds: the formulas, and that no cut of the samples changes the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exported.bounds import MAX_SAMPLES
from exported.manifest import MAX_FEATURES
from service.bound import MAX_REQUEST_SAMPLES, RUN_NUMBERS, RUN_SAMPLES, Plan, Tally
from service.errors import ErrorKind, ServiceError
from service.results import NOT_CONVERGED, OK, OUT_OF_SUPPORT, Bounded


def bounded(log_weights: np.ndarray) -> Bounded:
    return Tally.of(log_weights).bounded(np.zeros(len(log_weights), dtype=np.uint8))


@given(st.integers(1, MAX_SAMPLES), st.integers(1, MAX_FEATURES))
def test_a_plan_covers_every_sample_once_and_no_run_is_too_large(samples: int, width: int) -> None:
    plan = Plan.of(samples, width)
    at = 0
    for piece in range(plan.pieces):
        first, count = plan.span(piece)
        assert first == at
        assert 1 <= count <= plan.piece
        at += count
    assert at == samples
    in_a_run = plan.pieces_per_run * plan.piece
    assert plan.pieces_per_run >= 1
    assert in_a_run <= RUN_SAMPLES
    assert in_a_run * width <= max(RUN_NUMBERS, width)
    # Pieces of several lengths never meet in a run.
    assert plan.pieces == 1 or plan.pieces_per_run == 1


@pytest.mark.parametrize("samples", [0, -1, MAX_SAMPLES + 1])
def test_samples_that_no_row_may_have_are_refused(samples: int) -> None:
    with pytest.raises(ServiceError, match=f"'samples' between 1 and 100000, got {samples}"):
        Plan.of(samples, 4)


def test_samples_over_all_rows_are_limited() -> None:
    plan = Plan.of(MAX_SAMPLES, 4)
    plan.check_rows(MAX_REQUEST_SAMPLES // MAX_SAMPLES)
    with pytest.raises(ServiceError, match="got 1000 rows of 100000; send fewer") as refused:
        plan.check_rows(1000)
    assert refused.value.kind is ErrorKind.TOO_LARGE


def test_bounds_are_what_the_formulas_say() -> None:
    log_weights = np.random.default_rng(0).normal(-900.0, 1.5, (3, 400))
    got = bounded(log_weights)
    shifted = np.exp(log_weights + 900.0)
    root = math.sqrt(400)
    np.testing.assert_allclose(got.elbo, log_weights.mean(axis=1))
    np.testing.assert_allclose(got.elbo_standard_error, log_weights.std(axis=1, ddof=1) / root)
    np.testing.assert_allclose(got.importance_bound, np.log(shifted.mean(axis=1)) - 900.0)
    error = shifted.std(axis=1, ddof=1) / root / shifted.mean(axis=1)
    np.testing.assert_allclose(got.standard_error, error)
    size = shifted.sum(axis=1) ** 2 / (shifted**2).sum(axis=1)
    np.testing.assert_allclose(got.effective_sample_size, size)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e5, 1e5, width=32), min_size=2, max_size=40),
    st.sampled_from([1, 2, 3, 7, 40]),
)
def test_no_cut_of_the_samples_changes_the_answer(weights: list[float], piece: int) -> None:
    log_weights = np.array([weights, weights[::-1]], dtype=np.float64)
    whole = bounded(log_weights)
    parts = [Tally.of(log_weights[:, i : i + piece]) for i in range(0, len(weights), piece)]
    columns = zip(*(part.columns() for part in parts), strict=True)
    stacked = [np.stack(column, axis=1).ravel() for column in columns]
    cut = Tally.of_columns(stacked, len(parts)).bounded(np.zeros(2, dtype=np.uint8))
    np.testing.assert_allclose(cut.elbo, whole.elbo, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(
        cut.importance_bound, whole.importance_bound, rtol=1e-12, atol=1e-12
    )
    for name in ("elbo_standard_error", "standard_error", "effective_sample_size"):
        got, expected = getattr(cut, name), getattr(whole, name)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7, err_msg=name)


def test_one_sample_has_no_error() -> None:
    got = bounded(np.array([[-3.0]]))
    assert got.elbo[0] == got.importance_bound[0] == -3.0
    assert got.effective_sample_size[0] == 1.0
    assert np.isnan(got.standard_error[0])
    assert np.isnan(got.elbo_standard_error[0])


def test_equal_weights_are_as_good_as_their_number() -> None:
    got = bounded(np.full((1, 50), -1e4))
    assert got.effective_sample_size[0] == pytest.approx(50.0)
    assert got.standard_error[0] == 0.0
    assert got.elbo[0] == pytest.approx(got.importance_bound[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_its_own_rows_problem(value: float) -> None:
    log_weights = np.array([[-1.0, -2.0], [-1.0, value], [-1.0, -2.0]])
    got = bounded(log_weights)
    assert got.status.tolist() == [OK, NOT_CONVERGED, OK]
    for column in (got.elbo, got.importance_bound, got.standard_error):
        assert np.isfinite(column).tolist() == [True, False, True]
        assert np.isnan(column[1])


def test_a_row_out_of_support_has_no_density() -> None:
    got = Tally.of(np.zeros((1, 4))).bounded(np.array([OUT_OF_SUPPORT], dtype=np.uint8))
    assert got.elbo[0] == got.importance_bound[0] == -np.inf
    assert np.isnan(got.standard_error[0])
    assert np.isnan(got.effective_sample_size[0])
