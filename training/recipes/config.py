"""The recipe's fields, with their units, bounds and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from exported.trimming import MAX_SHARE
from training.recipes.energy import EnergyFitConfig
from training.recipes.family import DEFAULT_FAMILY, Frozen, GlowConfig, SplineCouplingConfig
from training.recipes.mixed import FamilyConfig, MixedConfig
from training.recipes.vae import AutoencoderConfig, VAEConfig

Ends = tuple[float | None, float | None]
ModelConfig = FamilyConfig | AutoencoderConfig | VAEConfig
# Families that an energy cannot train, and why.
NEED_ROWS = {
    "glow": "its rows are images",
    "diffusion": "it removes noise from rows (cnf is the same flow)",
    "autoencoder": "it reconstructs rows",
    "vae": "it reconstructs rows",
}
_NOT_FLOWS = (AutoencoderConfig, VAEConfig)
# Settings of a recipe that say something about a table.
_OF_ROWS = ("data", "continuous", "drop", "bounds", "linear", "context", "trim")


def _range(ends: Ends) -> Ends:
    low, high = ends
    if low is None and high is None:
        raise ValueError("expected at least one end that is a number")
    if low is not None and high is not None and low >= high:
        raise ValueError("expected the low end under the high end")
    return ends


_Deviation = Annotated[float, Field(gt=0)]


def _ascending(noise: tuple[float, float]) -> tuple[float, float]:
    if noise[0] > noise[1]:
        raise ValueError("expected the smallest deviation before the largest")
    return noise


class FitConfig(Frozen):
    """How the parameters are found.

    Attributes:
        epochs: Most passes over the training rows; the learning rate follows a cosine down to zero
            over them, or over ``max_seconds`` where these are used up sooner.
        batch_rows: Rows per step.
        learning_rate: Peak rate of AdamW.
        weight_decay: Decoupled decay of AdamW.
        clip_norm: Largest gradient norm, nats per parameter norm.
        noise: Smallest and largest deviation of normal noise, in columns of unit variance, on the
            rows that train, anew in every epoch, and on those that validate: each row draws its
            own between them, evenly in the logarithm. The density fitted is that of the rows
            smoothed so: sharp where rows were seen, and beyond them falling with the distance.
            None is the rows as they are.
        patience: Epochs without a better validation before stopping.
        max_seconds: Time after which the fit stops at the end of the epoch.
        clock: Whether that is ``wall`` time, or ``processor`` time, which does not pass while
            others have the machine.
        threads: Processor threads for torch. One is as fast as two at these sizes, and beside a
            busy neighbour two were thirty times slower.
    """

    epochs: int = Field(default=100, ge=1)
    batch_rows: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_norm: float = Field(default=5.0, gt=0)
    # Not written where it is not used: the settings of older tables stay what they are.
    noise: Annotated[tuple[_Deviation, _Deviation], AfterValidator(_ascending)] | None = Field(
        default=None, exclude_if=lambda noise: noise is None
    )
    patience: int = Field(default=20, ge=1)
    max_seconds: float = Field(default=3600.0, gt=0)
    clock: Literal["wall", "processor"] = "wall"
    threads: int = Field(default=1, ge=1)


def _kind_of_fit(fit: object) -> str:
    """Which of the two sections a fit is written as."""
    by_energy = isinstance(fit, EnergyFitConfig) or (isinstance(fit, dict) and "objective" in fit)
    return "reverse_kl" if by_energy else "rows"


class Recipe(Frozen):
    """A training run.

    Attributes:
        name: Of the bundle to publish.
        description: One line, for people.
        data: A data set of :mod:`training.datasets`; None when a file is given.
        seed: Of the split, the parameters, the batches and the dequantisation.
        continuous: Columns to treat as continuous although all their values are whole.
        drop: Columns to leave out.
        bounds: Ends of columns that have any, as ``{column: [low, high]}``; null is open.
        linear: Whether columns are only shifted and scaled to unit variance, so that distances
            between rows stay what they are; otherwise their tails are bent by an arcsinh.
        context: Columns c on which the density is conditioned, p(x | c), in this order.
        trim: Share of the rows that may be anomalies: the model is fitted twice, the second time
            without this share of the least likely rows.
        gradient: Whether a flow is published with the graph of its gradient, for explanations.
        model: The family and its sizes.
        fit: The optimisation: on rows, or on an energy where ``objective: reverse_kl`` is said.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    description: str = ""
    data: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)
    continuous: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    bounds: dict[str, Annotated[Ends, AfterValidator(_range)]] = Field(default_factory=dict)
    linear: bool = False
    context: tuple[str, ...] = ()
    trim: float = Field(default=0.0, ge=0, lt=MAX_SHARE)
    gradient: bool = False
    model: Annotated[ModelConfig, Field(discriminator="family")] = SplineCouplingConfig()
    fit: Annotated[
        Annotated[FitConfig, Tag("rows")] | Annotated[EnergyFitConfig, Tag("reverse_kl")],
        Discriminator(_kind_of_fit),
    ] = FitConfig()

    def flow(self) -> FamilyConfig:
        """The model, where it is a flow.

        Raises:
            TypeError: If it is an autoencoder.
        """
        if isinstance(self.model, _NOT_FLOWS):
            raise TypeError(f"expected a flow, got the family {self.model.family}")
        return self.model

    def portable(self) -> Recipe:
        """The same without the folders of an energy's file: bundles are handed on, these not."""
        fit = self.fit
        if not isinstance(fit, EnergyFitConfig) or fit.energy is None:
            return self
        energy = fit.energy.rpartition("/")[2]
        return self.model_copy(update={"fit": fit.model_copy(update={"energy": energy})})

    def rows_fit(self) -> FitConfig:
        """The fit, where it is to rows.

        Raises:
            TypeError: If it is to an energy.
        """
        if isinstance(self.fit, EnergyFitConfig):
            raise TypeError("expected a fit to rows, got one to an energy")
        return self.fit

    @field_validator("context")
    @classmethod
    def _each_once(cls, context: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(context)) != len(context):
            raise ValueError("expected each context column once")
        if bounded := [name for name in context if name in info.data.get("bounds", {})]:
            raise ValueError(
                f"expected no bounds of context columns, found some of {bounded[0]!r}"
            )
        return context

    @field_validator("model", mode="before")
    @classmethod
    def _default_family(cls, model: object) -> object:
        if not isinstance(model, dict):
            return model
        is_mixed = isinstance(model.get("layers"), list | tuple)
        chosen = {"family": "mixed" if is_mixed else DEFAULT_FAMILY} | model
        if is_mixed and chosen["family"] != "mixed":
            raise ValueError("a list of layers needs family: mixed")
        return chosen

    @field_validator("fit")
    @classmethod
    def _suits_the_model(
        cls, fit: FitConfig | EnergyFitConfig, info: ValidationInfo
    ) -> FitConfig | EnergyFitConfig:
        model = info.data.get("model")
        if isinstance(fit, FitConfig) and fit.noise and isinstance(model, _NOT_FLOWS):
            raise ValueError(f"noise smooths the density of a flow, got family {model.family}")
        if info.data.get("linear") and isinstance(model, (*_NOT_FLOWS, GlowConfig)):
            raise ValueError(f"linear is of columns that a flow bends, got family {model.family}")
        if not isinstance(fit, EnergyFitConfig) or model is None:
            return fit
        given = [name for name in _OF_ROWS if info.data.get(name)]
        if given:
            raise ValueError(f"reverse_kl has no rows to which {given[0]} could apply")
        for part in model.layers if isinstance(model, MixedConfig) else (model,):
            if part.family in NEED_ROWS:
                why = NEED_ROWS[part.family]
                raise ValueError(f"reverse_kl cannot train family {part.family}: {why}")
        if model.base != "standard_normal":
            raise ValueError(f"reverse_kl needs base: standard_normal, got {model.base}")
        return fit
