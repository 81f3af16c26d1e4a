"""The procedure of Benjamini and Hochberg: by a plain loop, by scipy, and by what it promises."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exported.calibration import Calibration
from exported.false_discoveries import rejection_level

N = 999
# p-values as few calibration rows give them, so that many are equal and many stand at a level.
P_VALUES = st.lists(st.integers(1, 40).map(lambda k: k / 40), max_size=60)
RATES = st.integers(1, 39).map(lambda k: k / 40) | st.floats(1e-6, 1 - 1e-6)
DRAWS = 2000


def loop(p_values: list[float], fdr: float) -> list[bool]:
    """Which are rejected, step by step as the paper has it."""
    m = len(p_values)
    ordered = sorted(p_values)
    k = max((i for i in range(1, m + 1) if ordered[i - 1] <= i * fdr / m), default=0)
    return [k > 0 and p <= k * fdr / m for p in p_values]


def rejected(p_values: NDArray[np.float64], fdr: float) -> NDArray[np.bool_]:
    level = rejection_level(p_values, fdr)
    return np.zeros(p_values.shape, bool) if level is None else p_values <= level


@given(P_VALUES, RATES)
def test_rejected_are_those_of_a_plain_loop(p_values: list[float], fdr: float) -> None:
    got = rejected(np.array(p_values), fdr)
    assert got.tolist() == loop(p_values, fdr)
    level = rejection_level(np.array(p_values), fdr)
    if got.any():
        assert level == got.sum() * fdr / len(p_values)
    else:
        assert level is None


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=60), RATES)
def test_rejected_are_those_of_scipy(p_values: list[float], fdr: float) -> None:
    adjusted = scipy.stats.false_discovery_control(p_values, method="bh")
    clear = np.abs(adjusted - fdr) > 1e-12  # it rounds in another order
    np.testing.assert_array_equal(
        rejected(np.array(p_values), fdr)[clear], (adjusted <= fdr)[clear]
    )


@given(P_VALUES, RATES, st.randoms())
def test_neither_order_nor_unknown_p_values_matter(
    p_values: list[float], fdr: float, random: np.random.RandomState
) -> None:
    mixed = [*p_values, *[np.nan] * 7]
    random.shuffle(mixed)
    assert rejection_level(np.array(mixed), fdr) == rejection_level(np.array(p_values), fdr)
    assert not rejected(np.array(mixed), fdr)[np.isnan(mixed)].any()


@given(P_VALUES, RATES, RATES)
def test_a_larger_rate_rejects_no_fewer(p_values: list[float], one: float, other: float) -> None:
    low, high = (rejected(np.array(p_values), fdr) for fdr in sorted((one, other)))
    assert not (low & ~high).any()


@given(st.lists(st.floats(-9.0, 9.0), min_size=1, max_size=80), RATES)
def test_the_level_of_conformal_p_values_has_a_threshold_that_says_the_same(
    scores: list[float], fdr: float
) -> None:
    calibration = Calibration.of(np.linspace(-3.0, 3.0, 99))
    p_value = calibration.p_value(np.array(scores))
    if fdr < calibration.smallest_alpha:
        with pytest.raises(ValueError, match=r"expected fdr of at least 0\.01, the smallest p-va"):
            calibration.level(p_value, fdr)
    elif (level := calibration.level(p_value, fdr)) is not None:
        np.testing.assert_array_equal(
            np.array(scores) < calibration.threshold(level), p_value <= level
        )


@pytest.mark.parametrize("fdr", [0.0, 1.0, -0.1, np.nan])
def test_an_fdr_that_is_no_rate_is_refused(fdr: float) -> None:
    with pytest.raises(ValueError, match="expected fdr between 0 and 1, got"):
        Calibration.of(np.arange(99.0)).level(np.ones(1), fdr)


def test_nothing_known_rejects_nothing() -> None:
    assert rejection_level(np.empty(0), 0.5) is None
    assert rejection_level(np.array([np.nan, np.nan]), 0.5) is None


@pytest.mark.parametrize("fdr", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("anomalies", [0, 20])
def test_the_share_of_false_alarms_among_anomalies_is_at_most_fdr(
    fdr: float, anomalies: int
) -> None:
    """Of 200 rows that share a calibration, 10 % anomalies four deviations off, or none."""
    rng = np.random.default_rng(anomalies + round(100 * fdr))
    shares, found = np.zeros(DRAWS), 0
    for draw in range(DRAWS):
        scores = rng.standard_normal(200)
        scores[:anomalies] -= 4.0
        calibration = Calibration.of(rng.standard_normal(N))
        got = rejected(calibration.p_value(scores), fdr)
        shares[draw] = got[anomalies:].sum() / max(1, got.sum())
        found += got[:anomalies].sum()
    error = shares.std() / np.sqrt(DRAWS)
    assert shares.mean() <= fdr * (1 - anomalies / 200) + 4 * error  # less than fdr by theorem
    assert shares.mean() > 0  # else the check would be of nothing
    assert found >= 0.6 * anomalies * DRAWS
