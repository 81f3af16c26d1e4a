"""The answer of ``GET /v1/models/{model}/drift``, for people and OpenAPI."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from service.http.schemas import Answer

P = Annotated[float, Field(ge=0, le=1)]


class DriftedLatent(BaseModel):
    """One latent in a window, in deviations of the base and cut off at three of them."""

    latent: str
    mean: float
    calibration_mean: float
    mean_p_value: P
    mean_square: float
    calibration_mean_square: float
    mean_square_p_value: P


class DriftedScore(BaseModel):
    """The scores in a window."""

    shift: float = Field(
        ge=-0.5,
        le=0.5,
        description="From -0.5, where every row scores under every calibration row, to 0.5.",
    )
    shift_p_value: P
    distance: float = Field(
        ge=0, le=1, description="Largest difference of the shares of rows under a score."
    )
    distance_p_value: P
    shares: list[float] = Field(
        description="Of the rows, by score, lowest first, between the calibration's quantiles."
    )
    calibration_shares: list[float]


class DriftWindow(BaseModel):
    """The last rows of every replica."""

    length: int = Field(description="Rows of a replica, once it has seen as many.")
    rows: int = Field(description="That there are, of all replicas, with a score.")
    alarm: bool
    corrected_p_value: float = Field(
        ge=0,
        le=1,
        description="The smallest, times all that are looked at in a million rows; there is an "
        "alarm where it is at most `alarm_rate`.",
    )
    score: DriftedScore
    latents: list[DriftedLatent] = Field(
        description="The ten that differ most surely; of none where the bundle tells of none."
    )


class DriftReplica(BaseModel):
    """What one replica has seen."""

    replica: str
    rows: int
    last: str | None
    since: str | None
    alarms: int


class DriftAnswer(Answer):
    """Do callers' rows still look like the calibration rows."""

    calibration: str = Field(description="SHA-256 of the calibration, as in the manifest.")
    alarm: bool = Field(description="Of all replicas together, or of any of them.")
    since: str | None = Field(
        description="When the first alarm of a replica that still lasts began; null where none "
        "has one, also where only all together do."
    )
    alarms: int = Field(description="Begun since the version was loaded, of all replicas.")
    rows: int = Field(description="Seen since the version was loaded, of all replicas.")
    last: str | None = Field(
        description="When any replica last saw a row: an alarm is about rows until then. Null "
        "before the first."
    )
    calibration_rows: int
    alarm_rate: float = Field(description="False alarms to be expected in a million rows.")
    alarm_p_value: float = Field(description="Up to which a p-value is an alarm.")
    windows: list[DriftWindow]
    replicas: list[DriftReplica]
