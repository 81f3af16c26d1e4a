"""Moments of bounded latents: what they are, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exported.arrays import write_arrays
from exported.base import base_noise
from exported.bundle import read_bundle
from exported.distributions import Base, GaussianMixture, StandardNormal, StudentT, Uniform
from exported.errors import BundleInvalidError
from exported.latents import ARRAY, BOUND, LatentMoments, Scale
from tests.bundles import CALIBRATION_ROWS
from tests.latents import write_autoencoder
from tests.watched import write_watched

NORMAL = StandardNormal(distribution="standard_normal", draws_per_row=2)
BASES: list[Base] = [
    NORMAL,
    StudentT(distribution="student_t", draws_per_row=4, degrees_of_freedom=(1.0, 5.0)),
    GaussianMixture(
        distribution="gaussian_mixture",
        draws_per_row=3,
        weights=(0.25, 0.75),
        means=((-20.0, 1.0), (4.0, 1.0)),
        scales=((1.0, 0.5), (2.0, 1.0)),
    ),
    Uniform(distribution="uniform", draws_per_row=2),
]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.distribution)
def test_latents_of_every_base_are_taken_from_its_middle_in_its_deviations(base: Base) -> None:
    z = base_noise(base, 3, 0, 20_000)
    first, second, fourth = LatentMoments.of(base, z).arrays()[ARRAY]
    np.testing.assert_allclose(first, 0.0, atol=0.1)
    assert (fourth <= BOUND**4).all()
    if not isinstance(base, StudentT):
        # A normal number loses 0.0056 of its square where it is cut off.
        np.testing.assert_allclose(second, 1.0, atol=0.07)


def test_powers_are_those_of_the_latents_cut_off() -> None:
    z = np.array([[0.5, -7.0], [-1.0, 2.0]])
    expected = [[-0.5, -1.0], [1.25, 13.0], [1.0625, 97.0]]
    np.testing.assert_allclose(Scale.of(NORMAL).powers(z), expected)


def test_moments_add_up_and_come_back_as_they_were() -> None:
    z = np.random.default_rng(0).standard_normal((300, 2))
    whole = LatentMoments.of(NORMAL, z)
    added = LatentMoments.of(NORMAL, z[:100]) + LatentMoments.of(NORMAL, z[100:])
    assert added.rows == 300
    np.testing.assert_allclose(added.sums, whole.sums)
    back = LatentMoments.of_array(300, whole.arrays()[ARRAY], 2)
    np.testing.assert_allclose(back.sums, whole.sums)


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (None, "expected an array 'latent_moments' of shape (3, 2), got none"),
        (np.zeros((3, 1)), "got one of shape (3, 1)"),
        (np.array([[0.5, 0.0], [0.1, 0.0], [1.0, 0.0]]), "no bounded latents have"),
        (np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]), "no bounded latents have"),
        (np.array([[0.0, 0.0], [9.5, 0.0], [99.0, 0.0]]), "no bounded latents have"),
        (np.full((3, 2), np.nan), "no bounded latents have"),
    ],
)
def test_what_are_no_moments_of_bounded_latents_is_refused(
    means: np.ndarray | None, reason: str
) -> None:
    with pytest.raises(BundleInvalidError) as refused:
        LatentMoments.of_array(10, means, 2)
    assert reason in str(refused.value)


def test_a_bundle_has_the_moments_that_its_manifest_tells_of(tmp_path: Path) -> None:
    bundle = read_bundle(write_watched(tmp_path))
    latents, summary = bundle.latents(), bundle.manifest.calibration
    assert latents is not None
    assert (latents.rows, latents.sums.shape) == (CALIBRATION_ROWS, (3, 3))
    silent = summary.model_copy(update={"latent_rows": None})
    untold = bundle.manifest.model_copy(update={"calibration": silent})
    assert replace(bundle, manifest=untold).latents() is None
    without = write_arrays({"log_prob": bundle.calibration().scores})
    lacking = replace(bundle, contents={**bundle.contents, summary.artifact.file: without})
    with pytest.raises(BundleInvalidError, match=r"'latent_moments' of shape .3, 3., got none"):
        lacking.latents()
    other = read_bundle(write_autoencoder(tmp_path)).manifest
    wrong = other.model_copy(
        update={"calibration": other.calibration.model_copy(update={"latent_rows": 9})}
    )
    with pytest.raises(BundleInvalidError, match="expected a flow"):
        replace(bundle, manifest=wrong).latents()
