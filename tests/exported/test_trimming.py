"""What is left out of contaminated rows, and what that does to the rate of false alarms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exported.calibration import Calibration
from exported.trimming import trim


def test_the_lowest_rows_go_and_the_lowest_that_stays_is_the_cut() -> None:
    kept, trimmed = trim(np.array([3.0, -np.inf, 1.0, 2.0, 5.0]), 0.4)
    np.testing.assert_array_equal(kept, [True, False, False, True, True])
    assert trimmed is not None
    assert trimmed.model_dump() == {"share": 0.4, "rows": 2, "cut": 2.0}


def test_a_cut_among_rows_out_of_support_is_no_number() -> None:
    _, trimmed = trim(np.array([-np.inf, -np.inf, 1.0, 2.0]), 0.25)
    assert trimmed is not None
    assert (trimmed.rows, trimmed.cut) == (1, None)


@pytest.mark.parametrize(
    ("rows", "share", "dropped"), [(100, 0.29, 29), (100, 0.07, 7), (9, 0.1, 0), (1, 0.49, 0)]
)
def test_as_many_go_as_are_in_the_share(rows: int, share: float, dropped: int) -> None:
    kept, trimmed = trim(np.zeros(rows), share)
    assert trimmed is not None
    assert trimmed.rows == dropped == (~kept).sum()


def test_nothing_is_told_where_nothing_was_to_go() -> None:
    kept, trimmed = trim(np.array([1.0, 2.0]), 0.0)
    assert kept.all()
    assert trimmed is None


@pytest.mark.parametrize("share", [-0.1, 0.5, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"from 0 to under 0.5, got"):
        trim(np.zeros(3), share)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="expected rows to trim, got none"):
        trim(np.empty(0), 0.1)


@given(st.integers(20, 300), st.floats(0.0, 0.3), st.floats(0.05, 0.5))
def test_trimming_clean_rows_costs_at_most_what_is_documented(
    rows: int, share: float, alpha: float
) -> None:
    scores = np.arange(rows, dtype=np.float64)
    kept, _ = trim(scores, share)
    # A row like the others is equally likely to fall into each of the gaps between them.
    gaps = np.arange(rows + 1) - 0.5
    alarms = (Calibration.of(scores[kept]).p_value(gaps) <= alpha).mean()
    assert alarms <= alpha + share * (1.0 - alpha) + 1e-12
