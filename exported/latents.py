r"""What the latents of ordinary rows are like: the moments that a stream's are held against.

A latent is taken in deviations of the base from the base's middle, and cut off at :data:`BOUND`
of them. That makes every moment finite, of heavy tails too, and bounds a single row's weight, so
that a test of them needs no assumption on the density. The base is the manifest's and knows
nothing of the calibration rows: they and the rows of a stream are bounded alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from exported.distributions import Base, GaussianMixture, Uniform
from exported.errors import BundleInvalidError

# In deviations: a few rows in a thousand of a normal latent are cut, which costs nothing, and one
# row weighs nine times as much in the mean square as an ordinary one, not a thousand times.
BOUND = 3.0
ARRAY = "latent_moments"
POWERS = (1, 2, 4)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Middle and deviation of each latent under the base, each of shape ``(latents,)``.

    A Student-t number is taken as it is: it has no deviation where its degrees are two or fewer.
    """

    middle: Floats
    deviation: Floats

    @classmethod
    def of(cls, base: Base) -> Self:
        """The scale of a base."""
        ones = np.ones(base.features)
        match base:
            case Uniform():
                return cls(0.5 * ones, ones / np.sqrt(12.0))
            case GaussianMixture():
                weights, means = np.array(base.weights), np.array(base.means)
                middle = weights @ means
                square = weights @ (np.array(base.scales) ** 2 + (means - middle) ** 2)
                return cls(middle, np.sqrt(square))
            case _:
                return cls(0.0 * ones, ones)

    def powers(self, z: NDArray[np.floating]) -> Floats:
        """Sums over rows ``(..., rows, latents)`` of the :data:`POWERS` of bounded latents.

        Shape ``(..., 3, latents)``.
        """
        v = np.clip((z - self.middle) / self.deviation, -BOUND, BOUND)
        square = v * v
        sums = [power.sum(axis=-2) for power in (v, square, square * square)]
        return np.stack(sums, axis=-2)


@dataclass(frozen=True, slots=True, eq=False)
class LatentMoments:
    """Of the calibration rows in support.

    Attributes:
        rows: How many these are.
        sums: Shape ``(3, latents)``; see :meth:`Scale.powers`.
    """

    rows: int
    sums: Floats

    @classmethod
    def of(cls, base: Base, z: NDArray[np.floating]) -> Self:
        """Of latents ``(rows, latents)``, every number of them finite."""
        return cls(len(z), Scale.of(base).powers(z))

    def __add__(self, other: LatentMoments) -> LatentMoments:
        return LatentMoments(self.rows + other.rows, self.sums + other.sums)

    def arrays(self) -> dict[str, Floats]:
        """As ``calibration.npz`` has them: means, so that they can be read."""
        return {ARRAY: self.sums / self.rows}

    @classmethod
    def of_array(cls, rows: int, means: NDArray[np.generic] | None, latents: int) -> Self:
        """As ``calibration.npz`` has them.

        Raises:
            BundleInvalidError: If they are no moments of so many bounded latents.
        """
        if means is None or means.shape != (len(POWERS), latents):
            got = "none" if means is None else f"one of shape {means.shape}"
            raise BundleInvalidError(
                f"expected an array {ARRAY!r} of shape ({len(POWERS)}, {latents}), got {got}"
            )
        values = means.astype(np.float64)
        first, second, fourth = values
        slack = 1.0 + 1e-9  # of rounding
        # NaN is none of these.
        are_moments = (first**2 <= second * slack) & (second**2 <= fourth * slack)
        if not (are_moments & (fourth <= BOUND**4 * slack)).all():
            raise BundleInvalidError(f"{ARRAY!r} has numbers that no bounded latents have")
        return cls(rows, values * rows)
