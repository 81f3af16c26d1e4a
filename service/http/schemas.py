"""Bodies of requests and answers, for people and OpenAPI; the hot path does not run them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.expectation import DEFAULT_SAMPLES
from service.questions import MAX_QUESTIONS

Value = float | None
Status = Literal["ok", "non_finite_input", "out_of_support", "not_converged"]
Kind = Literal[
    "invalid_input", "not_found", "unsupported", "too_large", "unauthorized", "rate_limited",
    "overloaded", "not_ready", "deadline", "internal",
]  # fmt: skip


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Given(_Body):
    context: list[list[Value]] | list[dict[str, Value]] | None = Field(
        None,
        description="For a conditional density only, which needs it: one row of its context "
        "features for all rows of the request, or one for each; lists or objects as in rows.",
    )
    steps: int | None = Field(
        None,
        description="For a model with a solver only: one of the numbers of steps that its "
        "manifest offers; by default the manifest's own.",
    )


class RowsBody(_Given):
    """Rows in the units of the training table; null where a value is not known."""

    rows: list[list[Value]] | list[dict[str, Value]] = Field(
        description="Each row a list in the order of the features, or an object by feature name."
    )


class ScoreBody(RowsBody):
    """Rows to decide about; null is the same as a field left out."""

    alpha: float | None = Field(
        0.01,
        gt=0,
        lt=1,
        description="Accepted rate of false alarms; by default 0.01, or the smallest rate that "
        "the model's calibration rows can tell where they are too few for that.",
    )


class DecodeBody(_Given):
    """Latents."""

    z: list[list[Value]] = Field(description="Each row as long as the model has latent features.")


class SampleBody(_Given):
    """How many rows to draw, and which; null is the same as a field left out."""

    n: int = Field(ge=1, description="Rows to draw.")
    seed: int | None = Field(
        None, ge=0, le=2**63 - 1, description="The same seed draws the same rows."
    )
    temperature: float | None = Field(
        1.0, ge=0, description="Factor on the base noise; 1 is the density."
    )


class MeanOf(_Body):
    """Of a feature."""

    mean: str


class VarianceOf(_Body):
    """Of a feature."""

    variance: str


class QuantileOf(_Body):
    """The value of a feature that a share ``q`` of rows do not exceed."""

    quantile: str
    q: float = Field(gt=0, lt=1)


class ProbabilityOf(_Body):
    """The probability that every named feature is in its closed interval."""

    probability: dict[str, Annotated[list[Value], Field(min_length=2, max_length=2)]] = Field(
        min_length=1, description="[low, high] by feature name; null is an open end."
    )


class ExpectationBody(_Given):
    """What to estimate, and from how many rows; null is the same as a field left out."""

    of: list[MeanOf | VarianceOf | QuantileOf | ProbabilityOf] = Field(
        min_length=1, max_length=MAX_QUESTIONS
    )
    samples: int | None = Field(DEFAULT_SAMPLES, ge=1, description="Rows to draw.")
    seed: int | None = Field(
        None, ge=0, le=2**63 - 1, description="The same seed draws the same rows."
    )


class _Answer(BaseModel):
    model: str
    version: int
    density: Literal["exact", "lower_bound", "estimate"]
    steps: int | None = Field(
        None, description="Of the solver, where the model has one; else left out."
    )


class LogProbAnswer(_Answer):
    """Log-densities in nats; null where there is none, with the reason in status."""

    log_prob: list[Value]
    status: list[Status]


class FeatureLogProbAnswer(LogProbAnswer):
    """Log-densities, and each feature's term of them in nats."""

    feature_log_prob: list[list[Value]] = Field(
        description="Of each feature given those before it, in the order of the features; the "
        "terms of a row sum to its log_prob."
    )


class ScoreAnswer(LogProbAnswer):
    """Log-densities and decisions."""

    p_value: list[Value] = Field(description="Conformal p-value against the calibration rows.")
    is_anomaly: list[bool | None] = Field(description="Whether the p-value is at most alpha.")
    threshold: Value = Field(description="Log-density under which a row is an anomaly, nats.")
    alpha: float


class EncodeAnswer(_Answer):
    """Latents, and the log-determinant of the map to them in nats."""

    z: list[list[Value]]
    log_det: list[Value]
    status: list[Status]


class DecodeAnswer(_Answer):
    """Rows and their log-densities in nats."""

    rows: list[list[Value]]
    log_prob: list[Value]
    status: list[Status]


class SampleAnswer(DecodeAnswer):
    """Drawn rows and the seed that draws them again."""

    seed: int


class _Estimate(BaseModel):
    value: Value = Field(description="Null where no row was left to tell it.")
    standard_error: Value = Field(description="Null where the rows are too few to tell it.")


class MeanEstimate(MeanOf, _Estimate):
    """The mean of the rows drawn."""


class VarianceEstimate(VarianceOf, _Estimate):
    """The variance of the rows drawn, in the feature's unit squared."""


class QuantileEstimate(QuantileOf, _Estimate):
    """The quantile of the rows drawn: the value of one of them."""


class ProbabilityEstimate(ProbabilityOf, _Estimate):
    """The share of the rows drawn; its error is above zero at 0 and 1 too."""


class ExpectationAnswer(_Answer):
    """Every entry as asked, with its value and standard error, in the order of the request."""

    of: list[MeanEstimate | VarianceEstimate | QuantileEstimate | ProbabilityEstimate]
    samples: int
    excluded: int = Field(description="Rows drawn that take no part: their status is not ok.")
    seed: int


class CatalogueEntry(BaseModel):
    """One model in one line."""

    name: str
    version: int
    versions: list[int]
    family: str
    density: Literal["exact", "lower_bound", "estimate"]
    features: list[str]
    context_features: list[str]
    operations: list[str]
    provider: Literal["cpu", "cuda"]


class CatalogueAnswer(BaseModel):
    """Every model, at its newest version."""

    models: list[CatalogueEntry]


class ErrorAnswer(BaseModel):
    """What was expected and what was got, in one sentence."""

    error: str
    kind: Kind


REQUESTS: dict[str, type[_Body]] = {
    "log_prob": RowsBody,
    "feature_log_prob": RowsBody,
    "score": ScoreBody,
    "encode": RowsBody,
    "decode": DecodeBody,
    "sample": SampleBody,
    "expectation": ExpectationBody,
}
ANSWERS: dict[str, type[_Answer]] = {
    "log_prob": LogProbAnswer,
    "feature_log_prob": FeatureLogProbAnswer,
    "score": ScoreAnswer,
    "encode": EncodeAnswer,
    "decode": DecodeAnswer,
    "sample": SampleAnswer,
    "expectation": ExpectationAnswer,
}
