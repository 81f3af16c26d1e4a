"""The fit of a flow to an energy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from training.recipes.family import Frozen


class ReverseKLConfig(Frozen):
    """How a flow is fitted to an energy.

    Attributes:
        steps: Of Adam.
        batch: Draws in a step.
        learning_rate: Peak; half a cosine down to zero.
        warm_up: Steps in which the energy's weight grows to one, so that the flow spreads over
            all bumps before it settles.
    """

    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=5e-3, gt=0)
    warm_up: int = Field(default=2000, ge=0)


class EnergyFitConfig(ReverseKLConfig):
    """The fit of a recipe that has an energy in place of rows.

    Attributes:
        objective: What is minimised.
        energy: ``FILE.py:FUNCTION``, minus the logarithm of the density up to a constant; None
            where the command line is to say.
        features: Names of the energy's numbers, in their order; none where the command line is
            to say.
        threads: As of :class:`training.recipes.FitConfig`.
    """

    objective: Literal["reverse_kl"]
    energy: str | None = None
    features: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    threads: int = Field(default=1, ge=1)

    @field_validator("energy")
    @classmethod
    def _file_and_function(cls, energy: str | None) -> str | None:
        if energy is not None:
            file, _, function = energy.rpartition(":")
            if not (file.endswith(".py") and function.isidentifier()):
                raise ValueError("expected FILE.py:FUNCTION")
        return energy

    @field_validator("features")
    @classmethod
    def _each_once(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(features)) != len(features):
            raise ValueError("expected each feature once")
        return features
