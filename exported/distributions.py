"""The densities that z may have, as the manifest writes them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exported.frozen import Frozen

Positive = Annotated[float, Field(gt=0)]
# Weights are rounded one by one; their sum may miss one by this much.
WEIGHT_SUM_TOLERANCE = 1e-9


class StandardNormal(Frozen):
    """Independent standard normal numbers; one uniform number makes each."""

    distribution: Literal["standard_normal"]
    draws_per_row: int = Field(ge=1)

    @property
    def features(self) -> int:
        """Size of z."""
        return self.draws_per_row


class StudentT(Frozen):
    """Independent Student-t numbers; two uniform numbers make each.

    Attributes:
        degrees_of_freedom: Of each latent feature.
    """

    distribution: Literal["student_t"]
    draws_per_row: int = Field(ge=1)
    degrees_of_freedom: tuple[Positive, ...] = Field(min_length=1)

    @property
    def features(self) -> int:
        """Size of z."""
        return len(self.degrees_of_freedom)

    @model_validator(mode="after")
    def _draws(self) -> Self:
        _expect_draws(self.draws_per_row, 2 * self.features)
        return self


class GaussianMixture(Frozen):
    """A mixture of normal densities with diagonal covariances.

    One uniform number chooses the component, one more makes each latent feature.

    Attributes:
        weights: Of each component; they sum to one.
        means: Of each component, one number for each latent feature.
        scales: Standard deviations, shaped like the means.
    """

    distribution: Literal["gaussian_mixture"]
    draws_per_row: int = Field(ge=1)
    weights: tuple[Positive, ...] = Field(min_length=1)
    means: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[Positive, ...], ...]

    @property
    def features(self) -> int:
        """Size of z."""
        return len(self.means[0])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        shape = [len(row) for row in self.means]
        if len(shape) != len(self.weights) or shape != [len(row) for row in self.scales]:
            raise ValueError(f"expected means and scales of {len(self.weights)} components")
        if not shape[0] or len(set(shape)) != 1:
            raise ValueError(f"expected components of one size, got {shape}")
        if abs(math.fsum(self.weights) - 1.0) > WEIGHT_SUM_TOLERANCE:
            raise ValueError(f"expected weights that sum to 1, got {math.fsum(self.weights)}")
        _expect_draws(self.draws_per_row, self.features + 1)
        return self


class Uniform(Frozen):
    """Independent numbers, uniform between 0 and 1: the encoding is a probability integral."""

    distribution: Literal["uniform"]
    draws_per_row: int = Field(ge=1)

    @property
    def features(self) -> int:
        """Size of z."""
        return self.draws_per_row


Base = Annotated[
    StandardNormal | StudentT | GaussianMixture | Uniform, Field(discriminator="distribution")
]


def _expect_draws(got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"expected {expected} draws a row, got {got}")
