r"""Noise of the base density from a seed, and its log-density; float64, normative in README.md.

References:
    Bailey, Polar generation of random variates with the t-distribution (1994).
    https://doi.org/10.1090/S0025-5718-1994-1196847-2
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exported import noise
from exported.distributions import Base, GaussianMixture, StandardNormal, StudentT, Uniform

Floats = NDArray[np.float64]


def base_noise(
    base: Base, seed: int, first_row: int, rows: int, temperature: float = 1.0
) -> Floats:
    """Latents of rows ``first_row ...`` of a seed, shape ``(rows, latent_features)``.

    Args:
        base: Of the manifest.
        seed: Between 0 and :data:`exported.noise.MAX_SEED`.
        first_row: Of the seed's rows.
        rows: How many.
        temperature: Not negative; 1 is the density, 0 its middle (of each component, for a
            mixture). A number too large for float64 is infinite or NaN.

    Raises:
        ValueError: If the seed is out of range.
    """
    u = noise.base_uniforms(seed, first_row, rows, base.draws_per_row)
    return from_uniforms(base, u, temperature)


def from_uniforms(base: Base, u: Floats, temperature: float) -> Floats:
    """Latents that uniform numbers ``(rows, draws_per_row)`` make; see :func:`base_noise`."""
    with np.errstate(over="ignore", invalid="ignore"):
        match base:
            case StandardNormal():
                return temperature * noise.normal_quantile(u)
            case StudentT():
                return temperature * _student_t(base, u)
            case GaussianMixture():
                return _mixture(base, u, temperature)
            case Uniform():
                low, high = u**temperature, (1.0 - u) ** temperature
                return np.asarray(low / (low + high))


def base_log_prob(base: Base, z: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log-density in nats of latents ``(rows, latent_features)``, shape ``(rows,)``."""
    match base:
        case StandardNormal():
            return noise.standard_normal_log_prob(z)
        case StudentT():
            return _student_t_log_prob(base, z.astype(np.float64))
        case GaussianMixture():
            return _mixture_log_prob(base, z.astype(np.float64))
        case Uniform():
            return np.where(in_base_support(base, z), 0.0, -np.inf)


def base_centre(base: Base, z: NDArray[np.floating]) -> Floats:
    """The middle of the base, shaped as the latents ``(rows, latent_features)``.

    Of a mixture it is that of the component that most likely drew the row.
    """
    match base:
        case GaussianMixture():
            component = _component_log_probs(base, z).argmax(axis=0)
            return np.asarray(np.array(base.means)[component])
        case Uniform():
            return np.full(z.shape, 0.5)
        case _:
            return np.zeros(z.shape)


def in_base_support(base: Base, z: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which latents ``(rows, latent_features)`` can encode a row."""
    if isinstance(base, Uniform):
        return np.asarray(((z >= 0.0) & (z <= 1.0)).all(axis=1))
    return np.ones(len(z), dtype=np.bool_)


def _student_t(base: StudentT, u: Floats) -> Floats:
    degrees = np.array(base.degrees_of_freedom)
    radius = np.sqrt(degrees * np.expm1(-2.0 / degrees * np.log(u[:, 0::2])))
    return np.asarray(radius * np.cos(2.0 * np.pi * u[:, 1::2]))


def _mixture(base: GaussianMixture, u: Floats, temperature: float) -> Floats:
    # The last sum is left out: rounding may put it under the largest uniform number.
    sums = np.cumsum(base.weights)[:-1]
    component = (u[:, :1] >= sums).sum(axis=1)
    means, scales = np.array(base.means)[component], np.array(base.scales)[component]
    return np.asarray(means + temperature * scales * noise.normal_quantile(u[:, 1:]))


def _student_t_log_prob(base: StudentT, z: Floats) -> Floats:
    degrees = np.array(base.degrees_of_freedom)
    log_norm = math.fsum(map(student_t_log_norm, base.degrees_of_freedom))
    bent = np.log1p((z / np.sqrt(degrees)) ** 2)
    return np.asarray(log_norm - (0.5 * (degrees + 1.0) * bent).sum(axis=1))


def student_t_log_norm(degrees: float) -> float:
    r"""Log-density of a Student-t number at zero, nats."""
    return (
        math.lgamma(0.5 * (degrees + 1.0))
        - math.lgamma(0.5 * degrees)
        - 0.5 * math.log(degrees * math.pi)
    )


def _mixture_log_prob(base: GaussianMixture, z: Floats) -> Floats:
    parts = _component_log_probs(base, z)
    highest = parts.max(axis=0)
    return np.asarray(highest + np.log(np.exp(parts - highest).sum(axis=0)))


def _component_log_probs(base: GaussianMixture, z: NDArray[np.floating]) -> Floats:
    return np.stack(
        [
            math.log(weight)
            - float(np.log(scales).sum())
            + noise.standard_normal_log_prob((z - np.array(means)) / np.array(scales))
            for weight, means, scales in zip(base.weights, base.means, base.scales, strict=True)
        ]
    )
