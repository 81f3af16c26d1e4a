"""Bodies of requests and answers, for people and OpenAPI; the hot path does not run them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Value = float | None
Status = Literal["ok", "non_finite_input", "out_of_support", "not_converged"]
Kind = Literal[
    "invalid_input", "not_found", "unsupported", "too_large", "unauthorized", "rate_limited",
    "overloaded", "not_ready", "deadline", "internal",
]  # fmt: skip


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RowsBody(_Body):
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


class DecodeBody(_Body):
    """Latents."""

    z: list[list[Value]] = Field(description="Each row as long as the model has latent features.")


class SampleBody(_Body):
    """How many rows to draw, and which; null is the same as a field left out."""

    n: int = Field(ge=1, description="Rows to draw.")
    seed: int | None = Field(
        None, ge=0, le=2**63 - 1, description="The same seed draws the same rows."
    )
    temperature: float | None = Field(
        1.0, ge=0, description="Factor on the base noise; 1 is the density."
    )


class _Answer(BaseModel):
    model: str
    version: int
    density: Literal["exact", "lower_bound", "estimate"]


class LogProbAnswer(_Answer):
    """Log-densities in nats; null where there is none, with the reason in status."""

    log_prob: list[Value]
    status: list[Status]


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


class CatalogueEntry(BaseModel):
    """One model in one line."""

    name: str
    version: int
    versions: list[int]
    family: str
    density: Literal["exact", "lower_bound", "estimate"]
    features: list[str]
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
    "score": ScoreBody,
    "encode": RowsBody,
    "decode": DecodeBody,
    "sample": SampleBody,
}
ANSWERS: dict[str, type[_Answer]] = {
    "log_prob": LogProbAnswer,
    "score": ScoreAnswer,
    "encode": EncodeAnswer,
    "decode": DecodeAnswer,
    "sample": SampleAnswer,
}
