"""A chain of several families, and the union of all that a recipe may ask for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from training.recipes.family import (
    BaseName,
    CNFConfig,
    DiffusionConfig,
    FamilyBase,
    GlowConfig,
    LayeredFamily,
)

_CONTINUOUS = ("cnf", "diffusion")


class MixedConfig(FamilyBase):
    """The family ``mixed``.

    Attributes:
        base: As of the last of the layers where nothing is said.
        layers: Families with their own settings, each built as it would be alone, in encode order.
            There is one base, that of the whole. A continuous one is the last: its regression
            needs the rest fixed in front of it, which is then fitted by its own likelihood.
    """

    family: Literal["mixed"]
    base: BaseName
    layers: tuple[
        Annotated[LayeredFamily | CNFConfig | DiffusionConfig, Field(discriminator="family")], ...
    ] = Field(min_length=1, max_length=16)

    @model_validator(mode="before")
    @classmethod
    def _base_of_the_last(cls, given: Any) -> Any:  # noqa: ANN401 - anything may be in a recipe
        layers = given.get("layers") if isinstance(given, dict) else None
        if not layers or "base" in given:
            return given
        last = layers[-1].get("family") if isinstance(layers[-1], dict) else layers[-1].family
        return {**given, "base": _own_base(last)}

    @model_validator(mode="after")
    def _one_base(self) -> Self:
        # By value: a recipe that was written out whole names every part's own base.
        if any(part.base not in (self.base, _own_base(part.family)) for part in self.layers):
            raise ValueError("expected the base beside the layers, got one inside of them")
        return self

    @model_validator(mode="after")
    def _continuous_last(self) -> Self:
        *before, last = (part.family in _CONTINUOUS for part in self.layers)
        if any(before):
            raise ValueError("expected a continuous family as the last of the layers only")
        if last and self.base != "standard_normal":
            raise ValueError("a continuous family needs base: standard_normal")
        return self


def _own_base(family: str | None) -> BaseName:
    return "standard_normal" if family in _CONTINUOUS else "student_t"


FamilyConfig = LayeredFamily | GlowConfig | CNFConfig | DiffusionConfig | MixedConfig
