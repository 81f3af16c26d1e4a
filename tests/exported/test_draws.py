"""Noise of VAEs: the same rows of it however a request is cut."""

from __future__ import annotations

import numpy as np
import pytest

from exported.base import base_noise
from exported.distributions import StandardNormal, StudentT, Uniform
from exported.draws import ROWS_OF_NOISE, bound_noise, noise_of_rows, sample_noise

NORMAL = StandardNormal(distribution="standard_normal", draws_per_row=3)
STUDENT = StudentT(distribution="student_t", draws_per_row=4, degrees_of_freedom=(3.0, 5.0))
UNIFORM = Uniform(distribution="uniform", draws_per_row=2)


def test_the_first_samples_of_many_are_those_of_a_few() -> None:
    many = bound_noise(NORMAL, 7, 5, 0, 100)
    assert many.shape == (100, 3)
    np.testing.assert_array_equal(bound_noise(NORMAL, 7, 5, 0, 10), many[:10])
    np.testing.assert_array_equal(bound_noise(NORMAL, 7, 5, 40, 60), many[40:])


def test_the_format_text_says_which_rows_of_noise() -> None:
    np.testing.assert_array_equal(
        bound_noise(NORMAL, 7, 5, 2, 4), base_noise(NORMAL, 7, 5 * 2**20 + 2, 4)
    )


def test_rows_and_seeds_have_noise_of_their_own() -> None:
    parts = [bound_noise(NORMAL, seed, row, 0, 50) for seed in (0, 1) for row in (0, 1)]
    assert len(np.unique(np.vstack(parts), axis=0)) == 200


def test_the_noise_of_several_rows_is_that_of_each() -> None:
    together = noise_of_rows(STUDENT, 7, [3, 0, 3, 8], 5, 20)
    assert together.shape == (4, 20, 2)
    for got, row in zip(together, (3, 0, 3, 8), strict=True):
        np.testing.assert_array_equal(got, bound_noise(STUDENT, 7, row, 5, 20))


def test_no_sample_reaches_into_the_noise_of_the_next_row() -> None:
    last = bound_noise(NORMAL, 0, 0, ROWS_OF_NOISE - 1, 1)
    assert not (last == bound_noise(NORMAL, 0, 1, 0, 1)).any()
    with pytest.raises(ValueError, match="at most 1048576 samples of a row, got 1048577"):
        bound_noise(NORMAL, 0, 0, ROWS_OF_NOISE, 1)


@pytest.mark.parametrize("observation", [NORMAL, STUDENT, UNIFORM])
def test_samples_do_not_depend_on_how_they_are_cut(observation: object) -> None:
    whole = sample_noise(NORMAL, observation, 3, (0, 50))  # type: ignore[arg-type]
    parts = [
        sample_noise(NORMAL, observation, 3, span)  # type: ignore[arg-type]
        for span in ((0, 1), (1, 30), (30, 50))
    ]
    for at in (0, 1):
        np.testing.assert_array_equal(np.vstack([part[at] for part in parts]), whole[at])


def test_a_row_and_its_latent_are_drawn_independently() -> None:
    noise, observation = sample_noise(NORMAL, NORMAL, 0, (0, 20_000))
    correlation = np.corrcoef(noise.T, observation.T)[:3, 3:]
    assert np.abs(correlation).max() < 0.03


def test_the_temperature_is_that_of_the_latent_alone() -> None:
    warm, cold = (sample_noise(NORMAL, NORMAL, 0, (0, 9), t) for t in (1.0, 0.0))
    assert (cold[0] == 0.0).all()
    np.testing.assert_array_equal(cold[1], warm[1])
