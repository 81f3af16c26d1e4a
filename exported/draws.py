"""Noise of a VAE's graphs from a seed; normative in README.md, "Noise of a VAE".

Rows of noise are those of :mod:`exported.base`. A bound sets aside :data:`ROWS_OF_NOISE` of them
for each row, so that the first samples of many are those of a few, and no two rows share one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from exported import noise
from exported.base import Floats, from_uniforms
from exported.distributions import Base

ROWS_OF_NOISE = 2**20


def bound_noise(base: Base, seed: int, row: int, first_sample: int, samples: int) -> Floats:
    """Noise of samples ``first_sample ...`` of one row, shape ``(samples, latent_features)``.

    Scores take the noise of row 0 for every row. Arguments and errors are those of
    :func:`noise_of_rows`.
    """
    return np.asarray(noise_of_rows(base, seed, [row], first_sample, samples)[0])


def noise_of_rows(
    base: Base, seed: int, rows: Iterable[int], first_sample: int, samples: int
) -> Floats:
    """Noise of the same samples of several rows, shape ``(rows, samples, latent_features)``.

    Args:
        base: Of the manifest.
        seed: Between 0 and :data:`exported.noise.MAX_SEED`.
        rows: Their places in the request.
        first_sample: First sample.
        samples: How many.

    Raises:
        ValueError: If the seed is out of range, or the samples reach into the next row's.
    """
    if first_sample + samples > ROWS_OF_NOISE:
        raise ValueError(
            f"expected at most {ROWS_OF_NOISE} samples of a row, got {first_sample + samples}"
        )
    firsts = (row * ROWS_OF_NOISE + first_sample for row in rows)
    u = [noise.base_uniforms(seed, first, samples, base.draws_per_row) for first in firsts]
    # One transformation of all: of a few numbers at a time it would take longer than the rest.
    z = from_uniforms(base, np.concatenate(u), 1.0)
    return z.reshape(len(u), samples, base.features)


def sample_noise(
    base: Base,
    observation: Base,
    seed: int,
    rows: tuple[int, int],
    temperature: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Noise of the prior, ``(rows, latent_features)``, and of the likelihood.

    The latter has a number for each modelled feature: ``(rows, modelled)``.

    Args:
        base: Of the manifest.
        observation: Of the manifest.
        seed: Between 0 and :data:`exported.noise.MAX_SEED`.
        rows: First row of the seed, and the one after the last.
        temperature: Of the prior's noise alone; see :func:`exported.base.base_noise`.

    Raises:
        ValueError: If the seed is out of range.
    """
    latent = base.draws_per_row
    draws = latent + observation.draws_per_row
    u = noise.base_uniforms(seed, rows[0], rows[1] - rows[0], draws)
    return from_uniforms(base, u[:, :latent], temperature), from_uniforms(
        observation, u[:, latent:], 1.0
    )
