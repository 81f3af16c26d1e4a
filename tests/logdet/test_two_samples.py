"""The test of Kolmogorov and Smirnov, against scipy and by its own size."""

import numpy as np
import pytest

from logdet.two_samples import kolmogorov_smirnov


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3, 2.0])
def test_distance_and_probability_are_those_of_scipy(shift: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal(500), rng.standard_normal(300) + shift
    got = kolmogorov_smirnov(first, second)
    size = np.sqrt(500 * 300 / 800)
    assert got.statistic == pytest.approx(stats.ks_2samp(first, second).statistic)
    limit = stats.kstwobign.sf(got.statistic * size)
    assert got.p_value == pytest.approx(limit, rel=1e-6, abs=1e-300)


def test_rows_out_of_support_are_the_lowest_values() -> None:
    first, second = np.array([-np.inf, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert kolmogorov_smirnov(first, second).statistic == 0.25
    assert kolmogorov_smirnov(first, first) == (0.0, 1.0)


def test_samples_of_one_distribution_seldom_differ() -> None:
    rng = np.random.default_rng(1)
    found = [
        kolmogorov_smirnov(rng.random(200), rng.random(150)).p_value < 0.05 for _ in range(400)
    ]
    assert 0.01 < np.mean(found) < 0.07
