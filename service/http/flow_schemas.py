"""Bodies of requests to flows and of their answers; see :mod:`service.http.schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from exported.calibration_summary import ScoreName
from service.expectation import DEFAULT_SAMPLES
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
from service.questions import MAX_QUESTIONS

By = Annotated[
    Literal["log_prob", ScoreName] | None,
    Field(
        description="The score that decides, of those that the model's manifest lists; by default "
        "log_prob."
    ),
]


class _Given(Body):
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


class RowsBody(Rows, _Given):
    """Rows in the units of the training table; null where a value is not known."""


class ScoreBody(RowsBody):
    """Rows to decide about; null is the same as a field left out."""

    alpha: Alpha = 0.01
    fdr: Fdr = None
    by: By = None
    explain: bool | Literal["conditional", "leave_one_out", "gradient"] | None = Field(
        None,
        description="Tells what each feature contributes to each row's log-density, whichever "
        "score decides: true by the best method that the model has, or by the one named.",
    )
    nearest: bool | None = Field(
        None,
        description="Tells of each anomaly the nearest row that would be none; only where "
        "log_prob decides.",
    )


class DecodeBody(Latents, _Given):
    """Latents."""


class SampleBody(Drawing, _Given):
    """How many rows to draw, and which; null is the same as a field left out."""


class MeanOf(Body):
    """Of a feature."""

    mean: str


class VarianceOf(Body):
    """Of a feature."""

    variance: str


class QuantileOf(Body):
    """The value of a feature that a share ``q`` of rows do not exceed."""

    quantile: str
    q: float = Field(gt=0, lt=1)


class ProbabilityOf(Body):
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
    seed: Seed = None


class _Answer(Answer):
    density: Literal["exact", "estimate"]
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


class ScoreAnswer(Decided, LogProbAnswer):
    """Log-densities and decisions."""

    threshold: Value = Field(
        description="Log-density, or other score asked for, under which a row is an anomaly; null "
        "where an fdr makes none one."
    )
    by: str | None = Field(None, description="As asked; else left out.")
    score: list[Value] | None = Field(
        None, description="The score that decides, where it is another than log_prob."
    )
    contribution: list[list[Value]] | None = Field(
        None,
        description="Where it was asked for; else left out, as what follows. Of each feature to "
        "the log-density, nats, whichever score decides; of a row out of support null for each "
        "impossible value and 0 for the others.",
    )
    method: str | None = Field(None, description="By which contributions were found.")
    baseline: float | None = Field(
        None, description="Of the method conditional: with the contributions, a row's log_prob."
    )
    nearest: list[list[Value]] | None = Field(
        None, description="Of each anomaly a row that is none; null where none was found."
    )
    log_prob_nearest: list[Value] | None = Field(None, description="Of that row, nats.")
    change: list[list[Value]] | None = Field(
        None, description="From the row to that one, in deviations of the features."
    )


class ScoresAnswer(LogProbAnswer):
    """Every score that the model has, each with its p-value; lower ones are stranger."""

    calibration: str = Field(description="SHA-256 of the calibration scores, as in the manifest.")
    log_prob_p_value: list[Value]
    typicality: list[Value] | None = Field(
        None, description="Minus the distance of log_prob from its mean, nats."
    )
    typicality_p_value: list[Value] | None = None
    latent_norm: list[Value] | None = Field(
        None, description="Minus the squared norm of the latents."
    )
    latent_norm_p_value: list[Value] | None = None
    likelihood_ratio: list[Value] | None = Field(
        None, description="log_prob less the log-density of the background, nats."
    )
    likelihood_ratio_p_value: list[Value] | None = None
    combined: list[Value] | None = Field(
        None, description="Sum of the logarithms of p-values of the first three."
    )
    combined_p_value: list[Value] | None = None


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


REQUESTS: dict[str, type[Body]] = {
    "log_prob": RowsBody,
    "feature_log_prob": RowsBody,
    "score": ScoreBody,
    "scores": RowsBody,
    "encode": RowsBody,
    "decode": DecodeBody,
    "sample": SampleBody,
    "expectation": ExpectationBody,
}
ANSWERS: dict[str, type[_Answer]] = {
    "log_prob": LogProbAnswer,
    "feature_log_prob": FeatureLogProbAnswer,
    "score": ScoreAnswer,
    "scores": ScoresAnswer,
    "encode": EncodeAnswer,
    "decode": DecodeAnswer,
    "sample": SampleAnswer,
    "expectation": ExpectationAnswer,
}
