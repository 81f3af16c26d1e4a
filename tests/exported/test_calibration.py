import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exported.calibration import Calibration

NATS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -1.0, 1.0])
SCORES = st.lists(NATS, min_size=1, max_size=60)


@given(SCORES, st.lists(NATS | st.just(-np.inf), max_size=20), st.floats(1e-3, 0.999))
def test_threshold_and_p_value_say_the_same(
    known: list[float], asked: list[float], alpha: float
) -> None:
    calibration = Calibration.of(np.array(known))
    at_the_edges = [np.nextafter(s, d) for s in known for d in (-np.inf, s, np.inf)]
    scores = np.array(asked + at_the_edges)
    p_value = calibration.p_value(scores)
    if 1 / (len(known) + 1) > alpha:
        with pytest.raises(ValueError, match="expected alpha of at least"):
            calibration.threshold(alpha)
    else:
        np.testing.assert_array_equal(scores < calibration.threshold(alpha), p_value <= alpha)


@given(SCORES, st.integers(1, 60))
def test_they_agree_at_every_alpha_that_is_itself_a_p_value(known: list[float], k: int) -> None:
    calibration = Calibration.of(np.array(known))
    alpha = min(k, len(known)) / (len(known) + 1)
    p_value = calibration.p_value(np.array(known))
    flagged = np.array(known) < calibration.threshold(alpha)
    np.testing.assert_array_equal(flagged, p_value <= alpha)


@given(SCORES, NATS)
def test_a_p_value_counts_the_scores_not_above(known: list[float], score: float) -> None:
    p_value = Calibration.of(np.array(known)).p_value(np.array([score]))[0]
    assert p_value == (1 + sum(s <= score for s in known)) / (len(known) + 1)


def test_a_row_out_of_support_has_the_smallest_p_value_and_no_answer_has_none() -> None:
    calibration = Calibration.of(np.arange(99.0))
    p_value = calibration.p_value(np.array([-np.inf, np.nan, np.inf], dtype=np.float32))
    np.testing.assert_array_equal(p_value, [0.01, np.nan, 1.0])


@pytest.mark.parametrize("rows", [19, 99, 250])
@pytest.mark.parametrize("ties", [False, True])
def test_false_alarms_are_no_more_frequent_than_alpha(rows: int, ties: bool) -> None:
    rng = np.random.default_rng(rows)
    repetitions, alpha = 4000, 0.1
    drawn = rng.gamma(2.0, size=(repetitions, rows + 1))
    drawn = np.round(drawn) if ties else drawn
    alarms = [Calibration.of(d[1:]).p_value(d[:1])[0] <= alpha for d in drawn]
    spread = np.sqrt(alpha * (1 - alpha) / repetitions)
    assert np.mean(alarms) <= alpha + 4 * spread
    if not ties:
        exact = np.floor(alpha * (rows + 1)) / (rows + 1)
        assert abs(np.mean(alarms) - exact) <= 4 * spread


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, np.nan, np.inf])
def test_an_alpha_that_is_no_rate_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected alpha between 0 and 1, got"):
        Calibration.of(np.arange(9.0)).threshold(alpha)


@pytest.mark.parametrize("alpha", [0.009, 1e-12, 5e-324])
def test_an_alpha_too_small_for_the_rows_is_refused_with_the_smallest(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"at least 0\.01, the smallest .* that 99 calibration"):
        Calibration.of(np.arange(99.0)).threshold(alpha)


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [[1.0]]])
def test_scores_that_cannot_be_ordered_are_refused(scores: list) -> None:
    with pytest.raises(ValueError, match="non-empty vector of calibration scores without NaN"):
        Calibration.of(np.array(scores))


def test_the_summary_names_quantiles_by_their_probability() -> None:
    quantiles = Calibration.of(np.arange(101.0)).quantiles()
    assert quantiles["0.05"] == 5.0
    assert quantiles["0.5"] == 50.0


def log_binomial(n: int, j: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1)


def log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def tails(alarms: int, rows: int, k: int, known: int) -> tuple[float, float]:
    """P(X <= alarms) and P(X >= alarms) of X beta-binomial(rows, k, known + 1 - k)."""
    a, b = k, known + 1 - k
    logs = (
        log_binomial(rows, j) + log_beta(j + a, rows - j + b) - log_beta(a, b)
        for j in range(rows + 1)
    )
    mass = [math.exp(value) for value in logs]
    assert sum(mass) == pytest.approx(1.0)
    return sum(mass[: alarms + 1]), sum(mass[alarms:])


@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
def test_false_alarms_of_one_calibration_are_beta_binomial(alpha: float) -> None:
    """However many rows are asked about, one set of calibration rows leaves an error of its own.

    The level under its k-th smallest score is distributed as beta(k, n + 1 - k).
    """
    rng = np.random.default_rng(8)
    known, asked = 1999, 5000
    k = math.floor(alpha * (known + 1))
    calibration = Calibration.of(rng.standard_normal(known))
    alarms = int((calibration.p_value(rng.standard_normal(asked)) <= alpha).sum())
    assert min(tails(alarms, asked, k, known)) >= 0.5e-6


@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
def test_false_alarms_over_many_calibrations_are_alpha(alpha: float) -> None:
    rng = np.random.default_rng(9)
    known, asked, sets = 999, 1000, 400
    rates = np.array(
        [
            np.mean(
                Calibration.of(rng.standard_normal(known)).p_value(rng.standard_normal(asked))
                <= alpha
            )
            for _ in range(sets)
        ]
    )
    error = rates.std() / np.sqrt(sets)
    assert rates.mean() <= alpha + 4 * error
    assert abs(rates.mean() - math.floor(alpha * (known + 1)) / (known + 1)) <= 4 * error
