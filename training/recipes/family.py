"""The families and their settings, with bounds and defaults."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

FAMILIES: dict[str, str] = {
    "planar": "moves along one direction a layer, by an amount that one projection decides",
    "radial": "stretches or squeezes around one point a layer",
    "sylvester": "moves within a few directions a layer, by amounts that build on one another",
    "maf": "masked autoregressive, affine: exact density in one pass, a sample in one per feature",
    "iaf": "inverse autoregressive, affine: a sample in one pass, the density in one per feature",
    "nsf_ar": "masked autoregressive, rational-quadratic splines: what the recipe table takes",
    "nice": "additive coupling (volume-preserving but for the linear layers)",
    "realnvp": "affine coupling",
    "nsf": "rational-quadratic spline coupling: density and sample in one pass each",
    "glow": "images: affine coupling by convolutions, over several scales",
    "cnf": "continuous flow; time against exactness is the caller's choice (steps)",
    "mixed": "layers of several families, one after another: layers: [{family: ...}, ...]",
    "diffusion": "denoising score matching, served by its probability flow as a continuous flow",
}


DEFAULT_FAMILY = "nsf"
MIXTURE_COMPONENTS = 8


class Frozen(BaseModel):
    """Immutable and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _power_of_two(bound: float) -> float:
    if bound <= 0 or math.frexp(bound)[0] != 0.5:
        raise ValueError("expected a power of two, so that its reciprocal is exact")
    return bound


BaseName = Literal["standard_normal", "student_t", "gaussian_mixture", "uniform"]


class FamilyBase(Frozen):
    """What every family has.

    Attributes:
        base: Density of the latents: ``student_t``, whose tails are learned, the default of what
            is trained by its likelihood in layers; ``gaussian_mixture`` for several modes;
            ``uniform`` for latents that read as probabilities.
        mixture_components: Of ``gaussian_mixture``; :data:`MIXTURE_COMPONENTS` where None.
    """

    base: BaseName = "standard_normal"
    mixture_components: Annotated[int, Field(ge=1, le=256)] | None = None

    @model_validator(mode="after")
    def _components_of_a_mixture(self) -> Self:
        if self.mixture_components is not None and self.base != "gaussian_mixture":
            raise ValueError("mixture_components needs base: gaussian_mixture")
        return self


class _LayeredConfig(FamilyBase):
    """Families of layers.

    Attributes:
        layers: Layers of the family, each behind an ActNorm and an LU linear layer.
        marginal_bins: Bins of a first spline for each feature alone, which costs no network; 0
            leaves it out.
        tail_bound: Half width of the splines' box, in standard deviations; a power of two.
    """

    base: BaseName = "student_t"
    layers: int = Field(default=5, ge=1, le=64)
    marginal_bins: int = Field(default=16, ge=0, le=128)
    tail_bound: Annotated[float, AfterValidator(_power_of_two)] = 4.0


class _FreeConfig(_LayeredConfig):
    """Layers whose parameters are free numbers, or decided by the context where there is one.

    Attributes:
        context_hidden: Widths of the hidden layers of each layer's network of the context.
    """

    layers: int = Field(default=16, ge=1, le=64)
    context_hidden: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        default=(32,), max_length=8
    )


class PlanarConfig(_FreeConfig):
    """The family ``planar``."""

    family: Literal["planar"]


class RadialConfig(_FreeConfig):
    """The family ``radial``."""

    family: Literal["radial"]


class SylvesterConfig(_FreeConfig):
    """The family ``sylvester``.

    Attributes:
        columns: Directions that a layer moves along; at most the features are used.
    """

    family: Literal["sylvester"]
    layers: int = Field(default=8, ge=1, le=64)
    columns: int = Field(default=8, ge=1, le=64)


class GlowConfig(FamilyBase):
    """The family ``glow``, of images.

    Attributes:
        levels: Times the sides are halved and their pixels made channels; after each but the last
            half of the channels is latent.
        steps: Of each level: ActNorm, invertible 1 x 1 convolution, affine coupling.
        hidden_channels: Of each conditioner's two hidden layers.
        marginal_bins: Bins of a first spline for each channel, the same at every pixel; 0 leaves
            it out.
        tail_bound: Half width of that spline's box, in standard deviations; a power of two.
        pixel_range: Smallest and largest value of a pixel; None is 0 to 255 where training has
            values over 127 and none over 255, else 0 to the largest one.
    """

    family: Literal["glow"]
    levels: int = Field(default=2, ge=1, le=8)
    steps: int = Field(default=4, ge=1, le=64)
    hidden_channels: int = Field(default=64, ge=1, le=2048)
    marginal_bins: int = Field(default=16, ge=0, le=128)
    tail_bound: Annotated[float, AfterValidator(_power_of_two)] = 4.0
    pixel_range: tuple[int, int] | None = None


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
    """The family ``maf``.

    Attributes:
        mixing: False leaves the LU linear layers out. One feature order is then kept from the
            table to the latent, and the model tells the exact log p(x_i | x_<i) of every feature.
    """

    family: Literal["maf"]
    mixing: bool = True


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
    """The family ``nsf_ar``.

    Attributes:
        mixing: As of ``maf``.
    """

    family: Literal["nsf_ar"]
    mixing: bool = True


class SplineCouplingConfig(_SplineConfig):
    """The family ``nsf``."""

    family: Literal["nsf"] = "nsf"


class _ContinuousConfig(FamilyBase):
    """One velocity that carries the data to the latent, behind a linear layer.

    Attributes:
        hidden: Widths of the velocity's two hidden layers.
        marginal_bins: Bins of a first spline for each feature alone; 0 leaves it out.
        tail_bound: Half width of that spline's box, in standard deviations; a power of two.
    """

    hidden: tuple[Annotated[int, Field(ge=1, le=2048)], Annotated[int, Field(ge=1, le=2048)]] = (
        128,
        128,
    )
    marginal_bins: int = Field(default=16, ge=0, le=128)
    tail_bound: Annotated[float, AfterValidator(_power_of_two)] = 4.0


class CNFConfig(_ContinuousConfig):
    """The family ``cnf``.

    Attributes:
        objective: ``flow_matching`` fits the velocity to straight lines from rows to noise;
            ``likelihood`` trains through the solver, which takes far longer.
    """

    family: Literal["cnf"]
    objective: Literal["flow_matching", "likelihood"] = "flow_matching"

    @model_validator(mode="after")
    def _from_noise(self) -> Self:
        if self.objective == "flow_matching" and self.base != "standard_normal":
            raise ValueError(
                f"flow_matching needs base: standard_normal, got {self.base}; "
                "objective: likelihood takes any"
            )
        return self


class DiffusionConfig(_ContinuousConfig):
    """The family ``diffusion``: denoising score matching, served by its probability flow."""

    family: Literal["diffusion"]

    @model_validator(mode="after")
    def _from_noise(self) -> Self:
        if self.base != "standard_normal":
            raise ValueError(f"diffusion needs base: standard_normal, got {self.base}")
        return self


# Layers of one kind.
LayeredFamily = (
    PlanarConfig
    | RadialConfig
    | SylvesterConfig
    | MAFConfig
    | IAFConfig
    | SplineAutoregressiveConfig
    | NiceConfig
    | RealNVPConfig
    | SplineCouplingConfig
)
