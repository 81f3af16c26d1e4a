"""Bodies of requests to VAEs and autoencoders and of their answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from exported.bounds import MAX_SAMPLES
from service.http.schemas import (
    Alpha,
    Answer,
    Body,
    Decided,
    Drawing,
    Fdr,
    Latents,
    Rows,
    Seed,
    Status,
    Value,
)


class _Depth(Body):
    depth: int | None = Field(
        None,
        description="For a posterior with a choice of depths only: one of those that the manifest "
        "offers; by default the manifest's own.",
    )


class BoundBody(Rows, _Depth):
    """Rows to bound the log-density of; null is the same as a field left out."""

    samples: int | None = Field(
        None,
        ge=1,
        le=MAX_SAMPLES,
        description="Of each row; by default as many as scores have. The first of many are those "
        "of a few.",
    )
    seed: Seed = None


class BoundScoreBody(Rows, _Depth):
    """Rows to decide about; null is the same as a field left out."""

    alpha: Alpha = 0.01
    fdr: Fdr = None
    samples: int | None = Field(None, description="As at the calibration; another is refused.")
    seed: int | None = Field(None, description="As at the calibration; another is refused.")


class PosteriorBody(Rows, _Depth):
    """Rows to encode; null is the same as a field left out."""

    seed: int | None = Field(
        None, ge=0, description="Draws from the posterior; without it z is its centre."
    )


class ReconstructBody(Rows, _Depth):
    """Rows to encode and decode; null is the same as a field left out."""


class PlainScoreBody(Rows):
    """Rows to decide about; null is the same as a field left out."""

    alpha: Alpha = 0.01
    fdr: Fdr = None


class _VAEAnswer(Answer):
    density: Literal["lower_bound"]


class _DepthAnswer(BaseModel):
    depth: int | None = Field(
        None, description="Of the posterior, where the model has a choice; else left out."
    )


class _AutoencoderAnswer(Answer):
    density: Literal["none"]


class _Sampled(_DepthAnswer):
    samples: int = Field(description="Of each row.")
    seed: int


class BoundAnswer(_VAEAnswer, _Sampled):
    """Lower bounds on log-densities in nats; null where there is none, status says why."""

    elbo: list[Value] = Field(description="Evidence lower bound: mean of the log weights.")
    elbo_standard_error: list[Value] = Field(description="Of that mean; null of one sample.")
    importance_bound: list[Value] = Field(
        description="Logarithm of the mean weight; rises to the log-density with samples."
    )
    standard_error: list[Value] = Field(
        description="Of the importance bound, by the delta method; null of one sample."
    )
    effective_sample_size: list[Value] = Field(
        description="As many equal weights would be as good."
    )
    status: list[Status]


class BoundScoreAnswer(_VAEAnswer, _Sampled, Decided):
    """Importance bounds in nats, of the same noise for every row, and decisions."""

    score: list[Value]
    status: list[Status]


class PosteriorAnswer(_VAEAnswer, _DepthAnswer):
    """The posterior of rows."""

    mean: list[list[Value]] = Field(description="Of the Gaussian that the posterior begins with.")
    scale: list[list[Value]] = Field(description="Its standard deviations.")
    z: list[list[Value]] = Field(
        description="A draw, or without a seed the centre, carried through the posterior's flow."
    )
    seed: int | None
    status: list[Status]


class MeanAnswer(_VAEAnswer):
    """The likelihood's mean at latents, not rounded."""

    rows: list[list[Value]]
    status: list[Status]


class DrawnAnswer(_VAEAnswer):
    """Drawn rows, their latents, and the seed that draws them again."""

    rows: list[list[Value]]
    z: list[list[Value]]
    seed: int
    status: list[Status]


class _Reconstructed(BaseModel):
    rows: list[list[Value]]
    error: list[Value] = Field(
        description="Root mean square difference, in standard deviations of the features."
    )
    status: list[Status]


class ReconstructAnswer(_VAEAnswer, _DepthAnswer, _Reconstructed):
    """Rows as they come back from the posterior's centre."""


class LatentAnswer(_AutoencoderAnswer):
    """Latents."""

    z: list[list[Value]]
    status: list[Status]


class PlainDecodeAnswer(_AutoencoderAnswer):
    """Rows at latents."""

    rows: list[list[Value]]
    status: list[Status]


class PlainReconstructAnswer(_AutoencoderAnswer, _Reconstructed):
    """Rows as they come back."""


class PlainScoreAnswer(_AutoencoderAnswer, Decided):
    """Negative errors of reconstruction, and decisions."""

    score: list[Value]
    status: list[Status]


VAE_REQUESTS: dict[str, type[Body]] = {
    "log_prob_bound": BoundBody,
    "score": BoundScoreBody,
    "encode": PosteriorBody,
    "decode": Latents,
    "sample": Drawing,
    "reconstruct": ReconstructBody,
}
VAE_ANSWERS: dict[str, type[Answer]] = {
    "log_prob_bound": BoundAnswer,
    "score": BoundScoreAnswer,
    "encode": PosteriorAnswer,
    "decode": MeanAnswer,
    "sample": DrawnAnswer,
    "reconstruct": ReconstructAnswer,
}
AUTOENCODER_REQUESTS: dict[str, type[Body]] = {
    "score": PlainScoreBody,
    "encode": Rows,
    "decode": Latents,
    "reconstruct": Rows,
}
AUTOENCODER_ANSWERS: dict[str, type[Answer]] = {
    "score": PlainScoreAnswer,
    "encode": LatentAnswer,
    "decode": PlainDecodeAnswer,
    "reconstruct": PlainReconstructAnswer,
}
