"""What export measured: how far the graphs are from the trained flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from exported.frozen import Frozen

# Steps of a solver, and numbers of them on offer: what a caller can make a graph do is bounded.
MAX_STEPS = 1024
MAX_STEP_CHOICES = 16


class ErrorSummary(Frozen):
    """How far two computations of the same quantity were apart, over the rows measured."""

    median: float
    p999: float
    max: float


class Accuracy(Frozen):
    """What export measured on held-out rows.

    Attributes:
        rows: Rows measured.
        log_prob_error: onnxruntime float32 against torch float64, nats.
        round_trip_error: ``|decode(encode(x)) - x|`` in onnxruntime, in standard deviations of
            each feature.
        decode_log_prob_error: log_prob of a decoded row against that implied by decode, nats.
        mass: Integral of the density where it can be taken by quadrature (one or two features).
        non_finite: Rows for which a graph gave a non-finite number although the input was finite.
    """

    rows: int
    log_prob_error: ErrorSummary
    round_trip_error: ErrorSummary
    decode_log_prob_error: ErrorSummary
    mass: float | None = None
    non_finite: int = 0


class HeldOut(Frozen):
    """Mean log-likelihood of rows that took no part in training, nats per row.

    Attributes:
        rows: Rows in the mean.
        out_of_support: Test rows with density zero, not in the mean.
        log_likelihood: In the user's own units; integer columns with uniform noise.
        standard_error: Of that mean.
        log_likelihood_standardised: The same for columns scaled to unit variance, so that data
            sets and libraries can be compared.
        bits_per_dimension: Of images of whole numbers, ``-log_likelihood / (pixels * log 2)``:
            bits for each number of an image, an upper bound on those of the whole numbers
            themselves.
    """

    rows: int
    out_of_support: int = Field(default=0, ge=0)
    log_likelihood: float
    standard_error: float
    log_likelihood_standardised: float
    bits_per_dimension: float | None = None


class StepChoice(Frozen):
    """A number of steps of the solver, and how exact it is.

    Attributes:
        steps: Of the solver, from data to latent.
        log_prob_error: onnxruntime float32 against a fine float64 solution, nats.
        round_trip_error: ``|decode(encode(x)) - x|`` in onnxruntime, in standard deviations of
            each feature.
        passes: Network evaluations one call costs.
    """

    steps: int = Field(ge=1, le=MAX_STEPS)
    log_prob_error: ErrorSummary
    round_trip_error: ErrorSummary
    passes: int = Field(ge=1)


class StepChoices(Frozen):
    """The numbers of steps at which a continuous flow was measured.

    Attributes:
        default: What a caller gets who does not choose; golden rows are computed with it.
        offered: Ascending; others are not measured and must be refused.
    """

    default: int
    offered: tuple[StepChoice, ...] = Field(min_length=1, max_length=MAX_STEP_CHOICES)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of steps on offer."""
        return tuple(choice.steps for choice in self.offered)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        expect_ascending("numbers of steps", self.numbers, self.default)
        return self


def expect_ascending(what: str, numbers: Sequence[int], default: int) -> None:
    """Refuse choices that are not in order, or without the default.

    Raises:
        ValueError: Naming what is chosen among.
    """
    if list(numbers) != sorted(set(numbers)) or default not in numbers:
        raise ValueError(
            f"expected ascending {what} with {default} among them, got {list(numbers)}"
        )
