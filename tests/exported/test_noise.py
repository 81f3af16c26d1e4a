import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from exported import noise
from exported.noise import MAX_SEED, base_uniforms, normal_quantile, standard_normal

WORD = 2**64 - 1


def philox_block(counter: int, key: int) -> list[int]:
    """Four words of Philox-4x64-10, written from the paper and not from numpy."""
    c, k = [counter, 0, 0, 0], [key, 0]
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 2**64)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B97F4A7C15) & WORD, (k[1] + 0xBB67AE8584CAA73B) & WORD]
    return c


def uniforms_by_the_text(seed: int, row: int, draws: int) -> list[float]:
    """``exported/README.md``, "Base noise", word for word."""
    blocks = -(-draws // 4)
    counters = range(row * blocks + 1, (row + 1) * blocks + 1)
    words = [word for counter in counters for word in philox_block(counter, seed)]
    return [((word >> 12) + 0.5) / 2**52 for word in words[:draws]]


@given(st.integers(0, MAX_SEED), st.integers(0, 2**40), st.integers(1, 9))
def test_the_stream_is_the_one_that_the_format_describes(seed: int, row: int, draws: int) -> None:
    expected = uniforms_by_the_text(seed, row, draws)
    np.testing.assert_array_equal(base_uniforms(seed, row, 1, draws)[0], expected)


def test_the_stream_never_changes() -> None:
    np.testing.assert_array_equal(base_uniforms(0, 0, 2, 3), FIRST_UNIFORMS)
    np.testing.assert_allclose(standard_normal(0, 0, 2, 3), FIRST_NORMALS, rtol=4e-16)
    np.testing.assert_allclose(standard_normal(MAX_SEED, 10**9, 1, 2)[0], FAR_NORMALS, rtol=4e-16)


@pytest.mark.parametrize("draws", [1, 3, 4, 5, 9])
def test_rows_do_not_depend_on_the_batch_they_are_drawn_in(draws: int) -> None:
    whole = standard_normal(7, 0, 20, draws)
    np.testing.assert_array_equal(standard_normal(7, 5, 5, draws), whole[5:10])
    one_by_one = [standard_normal(7, row, 1, draws)[0] for row in range(20)]
    np.testing.assert_array_equal(one_by_one, whole)


def test_seeds_and_rows_share_no_numbers() -> None:
    drawn = [base_uniforms(seed, 0, 1000, 5).ravel() for seed in range(5)]
    assert len(np.unique(np.concatenate(drawn))) == 5 * 1000 * 5


def test_no_rows_are_no_noise() -> None:
    assert standard_normal(0, 3, 0, 4).shape == (0, 4)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="expected a seed between 0 and 9223372036854775807"):
        base_uniforms(seed, 0, 1, 1)


def test_the_extreme_words_give_finite_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Extreme:
        def __init__(self, key: int, counter: int) -> None: ...

        def random_raw(self, size: int) -> list[int]:
            return [0, WORD, 0, WORD][:size]

    monkeypatch.setattr(noise.np.random, "Philox", Extreme)
    assert base_uniforms(0, 0, 1, 2).tolist() == [[2.0**-53, 1.0 - 2.0**-53]]
    low, high = standard_normal(0, 0, 1, 2)[0]
    assert low == -high
    assert 8.2 < high < 8.3


def test_the_quantile_is_that_of_the_normal_distribution() -> None:
    small = np.logspace(-300, np.log10(0.5), 20_001)
    near_one = 1.0 - np.logspace(-16, -1, 5_001)
    u = np.concatenate([small, near_one, np.linspace(0.01, 0.99, 10_001)])
    expected = ndtri(u)
    error = np.abs(normal_quantile(u) - expected)
    assert np.max(error / np.maximum(np.abs(expected), 1e-3)) < 3e-15


def test_the_quantile_is_monotone_and_odd() -> None:
    u = np.sort(base_uniforms(1, 0, 20_000, 1).ravel())
    z = normal_quantile(u)
    assert (np.diff(z) >= 0).all()
    symmetric = u[u < 0.5]
    exact = symmetric[(1.0 - (1.0 - symmetric)) == symmetric]
    np.testing.assert_array_equal(normal_quantile(1.0 - exact), -normal_quantile(exact))


def test_the_noise_is_standard_normal() -> None:
    z = standard_normal(3, 0, 100_000, 2)
    assert np.abs(z.mean(axis=0)).max() < 4.0 / np.sqrt(len(z))
    assert np.abs((z**2).mean(axis=0) - 1.0).max() < 4.0 * np.sqrt(2.0 / len(z))
    assert abs(np.corrcoef(z.T)[0, 1]) < 4.0 / np.sqrt(len(z))


FIRST_UNIFORMS = [
    [0.011546754286331562, 0.24154919656271823, 0.11142585551493822],
    [0.5023796042735055, 0.2776055768845537, 0.9465442927892141],
]
FIRST_NORMALS = [
    [-2.2718841483245953, -0.7013279206286979, -1.2189801910797582],
    [0.005964818724655772, -0.5899694163636463, 1.6122322292005964],
]
FAR_NORMALS = [-0.28168569063201, 0.33935549825388117]
