"""The recipe's fields, with their units, bounds and defaults."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

FAMILIES: dict[str, str] = {
    "planar": "moves along one direction a layer, by an amount that one projection decides",
    "radial": "stretches or squeezes around one point a layer",
    "maf": "masked autoregressive, affine: exact density in one pass, a sample in one per feature",
    "iaf": "inverse autoregressive, affine: a sample in one pass, the density in one per feature",
    "nsf_ar": "masked autoregressive, rational-quadratic splines",
    "nice": "additive coupling (volume-preserving but for the linear layers)",
    "realnvp": "affine coupling",
    "nsf": "rational-quadratic spline coupling, the default",
}


DEFAULT_FAMILY = "nsf"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _power_of_two(bound: float) -> float:
    if bound <= 0 or math.frexp(bound)[0] != 0.5:
        raise ValueError("expected a power of two, so that its reciprocal is exact")
    return bound


class _LayeredConfig(_Frozen):
    """What every family has.

    Attributes:
        layers: Layers of the family, each behind an ActNorm and an LU linear layer.
        marginal_bins: Bins of a first spline for each feature alone, which costs no network; 0
            leaves it out.
        tail_bound: Half width of the splines' box, in standard deviations; a power of two.
    """

    layers: int = Field(default=5, ge=1, le=64)
    marginal_bins: int = Field(default=16, ge=0, le=128)
    tail_bound: Annotated[float, AfterValidator(_power_of_two)] = 4.0


class PlanarConfig(_LayeredConfig):
    """The family ``planar``."""

    family: Literal["planar"]
    layers: int = Field(default=16, ge=1, le=64)


class RadialConfig(_LayeredConfig):
    """The family ``radial``."""

    family: Literal["radial"]
    layers: int = Field(default=16, ge=1, le=64)


class _ConditionerConfig(_LayeredConfig):
    """Layers with a network inside.

    Attributes:
        hidden: Widths of each conditioner's hidden layers.
    """

    hidden: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        default=(128, 128), min_length=1, max_length=8
    )


class NiceConfig(_ConditionerConfig):
    """The family ``nice``."""

    family: Literal["nice"]


class RealNVPConfig(_ConditionerConfig):
    """The family ``realnvp``."""

    family: Literal["realnvp"]


class MAFConfig(_ConditionerConfig):
    """The family ``maf``."""

    family: Literal["maf"]


class IAFConfig(_ConditionerConfig):
    """The family ``iaf``."""

    family: Literal["iaf"]


class _SplineConfig(_ConditionerConfig):
    """Layers of splines.

    Attributes:
        bins: Spline bins per feature.
    """

    bins: int = Field(default=8, ge=2, le=64)


class SplineAutoregressiveConfig(_SplineConfig):
    """The family ``nsf_ar``."""

    family: Literal["nsf_ar"]


class SplineCouplingConfig(_SplineConfig):
    """The family ``nsf``."""

    family: Literal["nsf"] = "nsf"


FamilyConfig = (
    PlanarConfig
    | RadialConfig
    | MAFConfig
    | IAFConfig
    | SplineAutoregressiveConfig
    | NiceConfig
    | RealNVPConfig
    | SplineCouplingConfig
)


class FitConfig(_Frozen):
    """How the parameters are found.

    Attributes:
        epochs: Most passes over the training rows; the learning rate follows a cosine down to zero
            over them, or over ``max_seconds`` where these are used up sooner.
        batch_rows: Rows per step.
        learning_rate: Peak rate of AdamW.
        weight_decay: Decoupled decay of AdamW.
        clip_norm: Largest gradient norm, nats per parameter norm.
        patience: Epochs without a better validation before stopping.
        max_seconds: Wall time after which the fit stops at the end of the epoch.
        threads: Processor threads for torch. One is as fast as two at these sizes, and beside a
            busy neighbour two were thirty times slower.
    """

    epochs: int = Field(default=100, ge=1)
    batch_rows: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_norm: float = Field(default=5.0, gt=0)
    patience: int = Field(default=20, ge=1)
    max_seconds: float = Field(default=3600.0, gt=0)
    threads: int = Field(default=1, ge=1)


class Recipe(_Frozen):
    """A training run.

    Attributes:
        name: Of the bundle to publish.
        description: One line, for people.
        data: A data set of :mod:`training.datasets`; None when a file is given.
        seed: Of the split, the parameters, the batches and the dequantisation.
        continuous: Columns to treat as continuous although all their values are whole.
        drop: Columns to leave out.
        context: Columns c on which the density is conditioned, p(x | c), in this order.
        model: The family and its sizes.
        fit: The optimisation.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    description: str = ""
    data: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)
    continuous: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    context: tuple[str, ...] = ()
    model: Annotated[FamilyConfig, Field(discriminator="family")] = SplineCouplingConfig()
    fit: FitConfig = FitConfig()

    @field_validator("context")
    @classmethod
    def _each_once(cls, context: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(context)) != len(context):
            raise ValueError("expected each context column once")
        return context

    @field_validator("model", mode="before")
    @classmethod
    def _default_family(cls, model: object) -> object:
        return {"family": DEFAULT_FAMILY} | model if isinstance(model, dict) else model
