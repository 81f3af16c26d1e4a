"""Autoencoders: deterministic ones, and variational ones with flows inside."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from training.recipes.family import Frozen

AUTOENCODERS: dict[str, str] = {
    "autoencoder": "deterministic: encode, decode, reconstruct; no density",
    "vae": "variational: a bound of the density; posterior and prior may be flows (recipe vae)",
}

Width = Annotated[int, Field(ge=1, le=4096)]
Likelihood = Literal["bernoulli", "gaussian", "student_t", "discretised_logistic"]
PosteriorFlow = Literal["none", "planar", "radial", "sylvester", "iaf", "realnvp", "nsf", "cnf"]
PriorFlow = Literal["none", "realnvp", "nsf", "maf", "linear"]


class _NetworkConfig(Frozen):
    """Encoder and decoder.

    Attributes:
        network: ``dense``, or ``convolutional`` for images.
        hidden: Of a dense encoder, widths of the hidden layers, and of the decoder in reverse; of
            a convolutional one the channels of its two halvings and the width behind them.
    """

    network: Literal["dense", "convolutional"] = "dense"
    hidden: tuple[Width, ...] = Field(default=(256, 256), min_length=1, max_length=8)

    @model_validator(mode="after")
    def _three_of_a_convolution(self) -> Self:
        if self.network == "convolutional" and len(self.hidden) != 3:
            raise ValueError(
                "network: convolutional needs three hidden sizes (channels, channels, width), "
                f"got {len(self.hidden)}"
            )
        return self


class AutoencoderConfig(_NetworkConfig):
    """The family ``autoencoder``.

    Attributes:
        latents: Size of the latent.
    """

    family: Literal["autoencoder"]
    latents: int = Field(default=8, ge=1, le=1024)


class VAEConfig(_NetworkConfig):
    """The family ``vae``.

    Attributes:
        likelihood: Of a row given the latent; ``bernoulli`` for whole numbers from 0 that are
            binarised, ``discretised_logistic`` for whole numbers, the others for any.
        latents: Size of the latent; several sizes are several stochastic layers, each given the
            one before it, from the data upwards.
        posterior: Flow behind the posterior's diagonal Gaussian; ``none`` leaves it that.
        posterior_layers: Of that flow (a ``cnf`` is one).
        posterior_hidden: Widths of each of its conditioners' hidden layers.
        posterior_context: Numbers that the encoder gives the flow for each row.
        amortised: Whether the encoder gives any; if not, the flow is the same for all rows.
        truncation: Train every offered depth of the flow, so that the caller may choose one.
        prior: Flow that makes the prior of the last stochastic layer from a standard normal.
        prior_layers: Of that flow.
        prior_hidden: Widths of each of its conditioners' hidden layers.
        warm_up: Epochs in which the divergence's weight grows from zero to one.
        free_bits: Divergence of a stochastic layer that costs nothing, nats for each of its
            latents, together.
        importance_samples: Draws of each row in a step; over one the objective is the
            importance-weighted bound.
        score_samples: Draws of each row in the score that is served.
    """

    family: Literal["vae"]
    likelihood: Likelihood = "gaussian"
    latents: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(8,), min_length=1, max_length=4
    )
    posterior: PosteriorFlow = "none"
    posterior_layers: int = Field(default=8, ge=1, le=128)
    posterior_hidden: tuple[Width, ...] = Field(default=(64,), min_length=1, max_length=8)
    posterior_context: int = Field(default=32, ge=1, le=1024)
    amortised: bool = True
    truncation: bool = True
    prior: PriorFlow = "none"
    prior_layers: int = Field(default=4, ge=1, le=64)
    prior_hidden: tuple[Width, ...] = Field(default=(64, 64), min_length=1, max_length=8)
    warm_up: int = Field(default=10, ge=0)
    free_bits: float = Field(default=0.0, ge=0)
    importance_samples: int = Field(default=1, ge=1, le=512)
    score_samples: int = Field(default=64, ge=1, le=1024)

    @model_validator(mode="after")
    def _free_bits_of_the_evidence_bound(self) -> Self:
        if self.free_bits and self.importance_samples > 1:
            raise ValueError("expected no free_bits where importance_samples is over 1")
        return self

    @field_validator("latents", mode="before")
    @classmethod
    def _one_size(cls, latents: object) -> object:
        return [latents] if isinstance(latents, int) else latents
