"""What export measured: how far the graphs are from the trained flow."""

from __future__ import annotations

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

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        counts = [choice.steps for choice in self.offered]
        if counts != sorted(set(counts)) or self.default not in counts:
            raise ValueError(
                f"expected ascending numbers of steps with {self.default} among them, got {counts}"
            )
        return self
