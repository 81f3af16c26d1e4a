"""The recipe's fields, with their units, bounds and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from training.recipes.family import DEFAULT_FAMILY, Frozen, SplineCouplingConfig
from training.recipes.mixed import FamilyConfig
from training.recipes.vae import AutoencoderConfig, VAEConfig

Ends = tuple[float | None, float | None]
ModelConfig = FamilyConfig | AutoencoderConfig | VAEConfig


def _range(ends: Ends) -> Ends:
    low, high = ends
    if low is None and high is None:
        raise ValueError("expected at least one end that is a number")
    if low is not None and high is not None and low >= high:
        raise ValueError("expected the low end under the high end")
    return ends


class FitConfig(Frozen):
    """How the parameters are found.

    Attributes:
        epochs: Most passes over the training rows; the learning rate follows a cosine down to zero
            over them, or over ``max_seconds`` where these are used up sooner.
        batch_rows: Rows per step.
        learning_rate: Peak rate of AdamW.
        weight_decay: Decoupled decay of AdamW.
        clip_norm: Largest gradient norm, nats per parameter norm.
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
    patience: int = Field(default=20, ge=1)
    max_seconds: float = Field(default=3600.0, gt=0)
    clock: Literal["wall", "processor"] = "wall"
    threads: int = Field(default=1, ge=1)


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
    bounds: dict[str, Annotated[Ends, AfterValidator(_range)]] = Field(default_factory=dict)
    context: tuple[str, ...] = ()
    model: Annotated[ModelConfig, Field(discriminator="family")] = SplineCouplingConfig()
    fit: FitConfig = FitConfig()

    def flow(self) -> FamilyConfig:
        """The model, where it is a flow.

        Raises:
            TypeError: If it is an autoencoder.
        """
        if isinstance(self.model, AutoencoderConfig | VAEConfig):
            raise TypeError(f"expected a flow, got the family {self.model.family}")
        return self.model

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
