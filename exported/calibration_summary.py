"""What a manifest tells of ``calibration.npz``: which scores, of which rows."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from exported.artifact import MAX_VERSION, BundleFile, Sha256
from exported.frozen import Frozen
from exported.trimming import Trimmed

# Scores of a flow beside the first, which is its log-density.
ScoreName = Literal["typicality", "latent_norm", "likelihood_ratio", "combined"]


class CalibrationSource(Frozen):
    """Rows that were given to calibrate a bundle when it had been published already.

    Attributes:
        created: When, ISO 8601 in UTC.
        command: The command line that did it.
        version: Of the same name, that has the graphs and another calibration.
        data_name: What the rows were called.
        data_sha256: Of their columns that the model takes, as ``provenance`` has it.
        rows: As many were given, by the status that each had.
    """

    created: str
    command: str
    version: int = Field(ge=1, le=MAX_VERSION)
    data_name: str
    data_sha256: Sha256
    rows: dict[str, int]


class ReferenceSummary(Frozen):
    """Rows that scores are made with, which neither trained nor calibrate.

    Attributes:
        rows: How many there were; at most 4,096 scores of them are kept.
        mean_log_prob: Of those in support, nats.
    """

    rows: int = Field(ge=1)
    mean_log_prob: float


class CalibrationSummary(Frozen):
    """Scores of rows disjoint from those that trained or chose the model.

    Attributes:
        artifact: ``calibration.npz`` with the sorted scores.
        rows: Number of scores; ``alpha`` below ``1 / (rows + 1)`` cannot be decided.
        quantiles: Score at each probability, as strings of the probability.
        trimmed: Rows left out because of their scores; None where none were to be.
        source: Of the rows; None where training set them aside, as ``provenance`` tells.
        scores: Of a flow: its scores beside log_prob, each with its quantiles, of the same rows.
        reference: What some of these are made with; None where none of them is.
        latent_rows: Rows in support, trimmed ones too, whose latents' moments the artifact has;
            None where it has none.
    """

    artifact: BundleFile
    rows: int = Field(ge=1)
    quantiles: dict[str, float]
    trimmed: Trimmed | None = None
    source: CalibrationSource | None = None
    scores: dict[ScoreName, dict[str, float]] = Field(default_factory=dict)
    reference: ReferenceSummary | None = None
    latent_rows: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _reference_fits(self) -> Self:
        needs_it = not self.scores.keys().isdisjoint(("typicality", "combined"))
        if needs_it != (self.reference is not None):
            raise ValueError(
                "expected a reference exactly where typicality or combined is a score"
            )
        return self
