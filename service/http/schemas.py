"""Bodies of requests and answers, for people and OpenAPI; the hot path does not run them.

Here is what models of all kinds share; :mod:`service.http.kinds` lists them by operation.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from exported.artifact import MAX_VERSION
from exported.noise import MAX_SEED

Value = float | None
Status = Literal["ok", "non_finite_input", "out_of_support", "not_converged"]
Kind = Literal[
    "invalid_input", "not_found", "unsupported", "too_large", "unauthorized", "rate_limited",
    "overloaded", "not_ready", "deadline", "internal",
]  # fmt: skip

Alpha = Annotated[
    float | None,
    Field(
        gt=0,
        lt=1,
        description="Accepted rate of false alarms; by default 0.01, or the smallest rate that "
        "the model's calibration rows can tell where they are too few for that.",
    ),
]
Fdr = Annotated[
    float | None,
    Field(
        gt=0,
        lt=1,
        description="In place of alpha: accepted expected share of false alarms among the "
        "anomalies of this request, whose rows are judged together (Benjamini-Hochberg).",
    ),
]
Seed = Annotated[
    int | None, Field(ge=0, le=MAX_SEED, description="The same seed draws the same numbers.")
]


class Body(BaseModel):
    """Of a request; fields that mean nothing are refused."""

    model_config = ConfigDict(extra="forbid")


class Rows(Body):
    """Rows in the units of the training table; null where a value is not known."""

    rows: list[list[Value]] | list[dict[str, Value]] = Field(
        description="Each row a list in the order of the features, or an object by feature name."
    )


class Latents(Body):
    """Latents."""

    z: list[list[Value]] = Field(description="Each row as long as the model has latent features.")


class Drawing(Body):
    """How many rows to draw, and which; null is the same as a field left out."""

    n: int = Field(ge=1, description="Rows to draw.")
    seed: Seed = None
    temperature: float | None = Field(
        1.0, ge=0, description="Factor on the base noise; 1 is the density."
    )


class Answer(BaseModel):
    """Which model answered."""

    model: str
    version: int


class Decided(BaseModel):
    """Decisions about rows."""

    p_value: list[Value] = Field(description="Conformal p-value against the calibration rows.")
    is_anomaly: list[bool | None] = Field(description="Whether the p-value is at most alpha.")
    calibration: str = Field(description="SHA-256 of the calibration scores, as in the manifest.")
    threshold: Value = Field(
        description="Score under which a row is an anomaly; null where an fdr makes none one."
    )
    alpha: Value = Field(
        description="As asked, or what follows from the fdr and all p-values; null where an fdr "
        "makes no row an anomaly."
    )
    fdr: float | None = Field(None, description="Where it was asked for; else left out.")


class CatalogueEntry(BaseModel):
    """One model in one line."""

    name: str
    version: int
    versions: list[int]
    policy: Literal["latest", "pinned", "compare"] = Field(description="What is wanted.")
    challenger: int | None = Field(description="The version that is compared with `version`.")
    set_by: Literal["default", "setting", "file", "request"]
    problem: str | None = Field(description="Why this is not what is wanted.")
    family: str
    density: Literal["exact", "estimate", "lower_bound", "none"]
    features: list[str]
    context_features: list[str]
    operations: list[str]
    provider: Literal["cpu", "cuda"]


class ServeBody(Body):
    """Which version answers requests that name none."""

    version: Annotated[int, Field(ge=1, le=MAX_VERSION)] | Literal["latest"]
    challenger: int | None = Field(
        None, ge=1, le=MAX_VERSION, description="Scores the same rows; its answers are counted."
    )


class CatalogueAnswer(BaseModel):
    """Every model, at the version that answers by default."""

    models: list[CatalogueEntry]


class ErrorAnswer(BaseModel):
    """What was expected and what was got, in one sentence."""

    error: str
    kind: Kind
