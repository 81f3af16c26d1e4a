"""What export measured of models without a density of their own: bounds and reconstructions."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from exported.accuracy import ErrorSummary, expect_ascending
from exported.frozen import Frozen
from exported.noise import MAX_SEED

# What a caller can make a bound cost is limited. Less than the rows of noise set aside for a row.
MAX_SAMPLES = 100_000
MAX_DEPTH = 1024
MAX_DEPTH_CHOICES = 16


class DepthChoice(Frozen):
    """A number of the posterior's layers, how tight the bound is with it and what it costs.

    Attributes:
        depth: Layers of the posterior's flow; 0 is the posterior without one.
        elbo: Mean evidence lower bound of held-out rows, nats.
        importance_bound: Mean importance bound of held-out rows, nats.
        samples: Of each row, for both.
        standard_error: Of the mean importance bound, over rows.
        milliseconds: Of one row in the graph ``log_weight`` with those samples.
    """

    depth: int = Field(ge=0, le=MAX_DEPTH)
    elbo: float
    importance_bound: float
    samples: int = Field(ge=1, le=MAX_SAMPLES)
    standard_error: float = Field(ge=0)
    milliseconds: float = Field(gt=0)


class DepthChoices(Frozen):
    """The depths at which a posterior was measured.

    Attributes:
        default: What a caller gets who does not choose; golden rows are computed with it.
        offered: Ascending; others are not measured and must be refused.
    """

    default: int
    offered: tuple[DepthChoice, ...] = Field(min_length=1, max_length=MAX_DEPTH_CHOICES)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The depths on offer."""
        return tuple(choice.depth for choice in self.offered)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        expect_ascending("depths", self.numbers, self.default)
        return self


class Scoring(Frozen):
    """At what the calibration scores were computed, and every score must be.

    Attributes:
        samples: Of the importance bound that is the score.
        seed: Of their noise, which is the same for every row.
    """

    samples: int = Field(ge=1, le=MAX_SAMPLES)
    seed: int = Field(ge=0, le=MAX_SEED)


class HeldOutBound(Frozen):
    """Mean bounds of rows that took no part in training, nats per row.

    Attributes:
        rows: Rows in the means.
        out_of_support: Test rows with density zero, not in the means.
        samples: Of each row.
        elbo: Mean evidence lower bound.
        importance_bound: Mean importance bound.
        standard_error: Of the mean importance bound, over rows.
        bits_per_dimension: Of images of whole numbers,
            ``-importance_bound / (pixels * log 2)``.
    """

    rows: int = Field(ge=1)
    out_of_support: int = Field(default=0, ge=0)
    samples: int = Field(ge=1)
    elbo: float
    importance_bound: float
    standard_error: float
    bits_per_dimension: float | None = None


class BoundAccuracy(Frozen):
    """How far the graphs are from the trained model, on held-out rows.

    Attributes:
        rows: Rows measured.
        log_weight_error: onnxruntime float32 against torch float64, nats.
        decode_error: The same of decoded rows, in standard deviations of each feature.
        non_finite: Rows for which a graph gave a non-finite number although the input was finite.
    """

    rows: int
    log_weight_error: ErrorSummary
    decode_error: ErrorSummary
    non_finite: int = 0


class HeldOutError(Frozen):
    """Mean reconstruction error of rows that took no part in training.

    Attributes:
        rows: Rows in the mean.
        out_of_support: Test rows out of support, not in the mean.
        error: Mean of the rows' errors, each a root mean square in deviations of the features.
        standard_error: Of that mean.
    """

    rows: int = Field(ge=1)
    out_of_support: int = Field(default=0, ge=0)
    error: float = Field(ge=0)
    standard_error: float


class ReconstructionAccuracy(Frozen):
    """How far the graphs are from the trained model, on held-out rows.

    Attributes:
        rows: Rows measured.
        reconstruction_error: Reconstructions of onnxruntime float32 against torch float64, in
            standard deviations of each feature.
        non_finite: Rows for which a graph gave a non-finite number although the input was finite.
    """

    rows: int
    reconstruction_error: ErrorSummary
    non_finite: int = 0
