"""Base densities: noise, log-density, and that the one is drawn from the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from pydantic import TypeAdapter, ValidationError

from exported.base import base_centre, base_log_prob, base_noise
from exported.distributions import Base, GaussianMixture, StandardNormal, StudentT, Uniform
from exported.noise import base_uniforms, standard_normal, standard_normal_log_prob

WEIGHTS, MEANS, SCALES = (0.2, 0.5, 0.3), ((-3.0, 1.0), (0.5, 0.0), (4.0, -2.0)), ((0.5, 1.0),) * 3
NORMAL = StandardNormal(distribution="standard_normal", draws_per_row=2)
STUDENT = StudentT(distribution="student_t", draws_per_row=4, degrees_of_freedom=(2.5, 30.0))
MIXTURE = GaussianMixture(
    distribution="gaussian_mixture", draws_per_row=3, weights=WEIGHTS, means=MEANS, scales=SCALES
)
UNIFORM = Uniform(distribution="uniform", draws_per_row=2)
BASES = {base.distribution: base for base in (NORMAL, STUDENT, MIXTURE, UNIFORM)}
every_base = pytest.mark.parametrize("base", BASES.values(), ids=BASES)


def marginal(base: Base, feature: int, z: np.ndarray) -> np.ndarray:
    """Distribution function of one latent feature, from scipy."""
    match base:
        case StudentT():
            return np.asarray(scipy.stats.t(base.degrees_of_freedom[feature]).cdf(z))
        case GaussianMixture():
            means, scales = np.array(base.means)[:, feature], np.array(base.scales)[:, feature]
            return np.asarray(
                scipy.stats.norm(means, scales).cdf(z[:, None]) @ np.array(base.weights)
            )
        case Uniform():
            return np.asarray(scipy.stats.uniform.cdf(z))
        case StandardNormal():
            return np.asarray(scipy.stats.norm.cdf(z))


def density(base: Base, z: np.ndarray) -> np.ndarray:
    """Log-density by scipy."""
    match base:
        case StudentT():
            return np.asarray(scipy.stats.t(base.degrees_of_freedom).logpdf(z).sum(axis=1))
        case GaussianMixture():
            each = [
                weight * np.exp(scipy.stats.norm(m, s).logpdf(z).sum(axis=1))
                for weight, m, s in zip(base.weights, base.means, base.scales, strict=True)
            ]
            return np.asarray(np.log(np.sum(each, axis=0)))
        case Uniform():
            return np.asarray(scipy.stats.uniform.logpdf(z).sum(axis=1))
        case StandardNormal():
            return np.asarray(scipy.stats.norm.logpdf(z).sum(axis=1))


@every_base
def test_the_noise_has_the_distribution_of_the_base(base: Base) -> None:
    z = base_noise(base, 5, 0, 20_000)
    assert z.shape == (20_000, base.features)
    for feature in range(base.features):
        found = scipy.stats.kstest(z[:, feature], lambda v, f=feature: marginal(base, f, v))
        assert found.pvalue > 1e-3
    if not isinstance(base, GaussianMixture):  # whose components tie the features together
        assert abs(scipy.stats.spearmanr(z[:, 0], z[:, 1]).statistic) < 4.0 / math.sqrt(len(z))


@every_base
def test_the_log_density_is_that_of_scipy(base: Base) -> None:
    z = base_noise(base, 1, 0, 500, temperature=2.0)
    np.testing.assert_allclose(base_log_prob(base, z), density(base, z), rtol=1e-12, atol=1e-12)


@every_base
def test_rows_do_not_depend_on_the_batch_they_are_drawn_in(base: Base) -> None:
    np.testing.assert_array_equal(
        base_noise(base, 7, 5, 5, 0.7), base_noise(base, 7, 0, 20, 0.7)[5:10]
    )
    assert base_noise(base, 0, 3, 0).shape == (0, base.features)


@every_base
def test_temperature_nought_is_the_middle(base: Base) -> None:
    z = base_noise(base, 0, 0, 50, temperature=0.0)
    if isinstance(base, GaussianMixture):
        assert {tuple(row) for row in z.tolist()} == set(base.means)
    else:
        assert (z == (0.5 if isinstance(base, Uniform) else 0.0)).all()


def test_the_text_is_followed_word_for_word() -> None:
    u = base_uniforms(3, 11, 1, 4)[0]
    expected = [
        math.sqrt(v * (a ** (-2.0 / v) - 1.0)) * math.cos(2.0 * math.pi * b)
        for v, a, b in zip((2.5, 30.0), u[0::2], u[1::2], strict=True)
    ]
    np.testing.assert_allclose(base_noise(STUDENT, 3, 11, 1)[0], expected, rtol=1e-13)
    np.testing.assert_array_equal(base_noise(UNIFORM, 3, 11, 1)[0], u[:2])
    np.testing.assert_array_equal(
        base_noise(NORMAL, 3, 11, 2, 0.3), 0.3 * standard_normal(3, 11, 2, 2)
    )
    z = base_noise(NORMAL, 3, 11, 2)
    np.testing.assert_array_equal(base_log_prob(NORMAL, z), standard_normal_log_prob(z))


def test_a_point_outside_of_the_box_has_no_density() -> None:
    z = np.array([[0.0, 1.0], [0.5, 1.0 + 1e-9], [-1e-9, 0.5]])
    assert base_log_prob(UNIFORM, z).tolist() == [0.0, -math.inf, -math.inf]


def test_far_out_a_student_t_costs_nats_and_a_mixture_stays_finite() -> None:
    far = np.full((1, 2), 1e4)
    assert base_log_prob(STUDENT, np.array([[1e4, 0.0]]))[0] > -40.0
    assert np.isfinite(base_log_prob(MIXTURE, far)).all()


@pytest.mark.parametrize("base", [STUDENT, MIXTURE])
def test_a_base_survives_being_written(base: Base) -> None:
    adapter: TypeAdapter[Base] = TypeAdapter(Base)
    assert adapter.validate_json(base.model_dump_json(), strict=True) == base


@pytest.mark.parametrize(
    ("base", "change", "message"),
    [
        (STUDENT, {"draws_per_row": 2}, "expected 4 draws a row, got 2"),
        (STUDENT, {"degrees_of_freedom": (0.0, 1.0)}, "greater than 0"),
        (MIXTURE, {"draws_per_row": 2}, "expected 3 draws a row, got 2"),
        (MIXTURE, {"weights": (0.2, 0.5, 0.2)}, r"weights that sum to 1, got 0\.9"),
        (MIXTURE, {"means": MEANS[:2]}, "means and scales of 3 components"),
        (MIXTURE, {"means": ((), (), ()), "scales": ((), (), ())}, "components of one size"),
        (MIXTURE, {"distribution": "cauchy"}, "does not match any of the expected tags"),
        (NORMAL, {"weights": (1.0,)}, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_refused(base: Base, change: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Base).validate_python(base.model_dump() | change)


def test_the_centre_is_the_middle_of_what_drew_the_row() -> None:
    z = np.array([[0.3, -4.0], [2.0, 9.0]])
    for base in (NORMAL, STUDENT):
        np.testing.assert_array_equal(base_centre(base, z), np.zeros((2, 2)))
    near = np.array(MEANS)[[2, 0]] + 1e-3
    np.testing.assert_array_equal(base_centre(MIXTURE, near), np.array(MEANS)[[2, 0]])
    np.testing.assert_array_equal(base_centre(UNIFORM, z), np.full((2, 2), 0.5))
