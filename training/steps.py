"""How many steps a continuous flow's solver takes: what each number costs in exactness."""

from __future__ import annotations

from dataclasses import replace

from exported.accuracy import StepChoice, StepChoices
from training.bijections.continuous import is_continuous, stepped
from training.flow import Flow
from training.measure import round_trip, summary
from training.prepared import Prepared
from training.runner import Runner, ask

# Numbers of steps that are measured and offered, ascending.
OFFERED_STEPS = (4, 8, 16, 32, 64)
# Steps of the solution they are measured against: at order four its error is 1/256 of the best's.
FINE_STEPS = 4 * max(OFFERED_STEPS)
# Rows measured at each number; a fine float64 solution of so many takes seconds.
MEASURED_ROWS = 2000
# The default is the least number whose error of log_prob is below this, nats, for all but one row
# in a thousand: one percent of the density.
MAX_DEFAULT_ERROR = 0.01


def choose_steps(run: Runner, density: Flow, prepared: Prepared) -> StepChoices | None:
    """Measure every number of steps on test rows; None where there is no solver.

    Args:
        run: The exported graphs.
        density: The trained flow, float64.
        prepared: Its data.
    """
    if not is_continuous(density.bijection):
        return None
    inputs = prepared.inputs(prepared.split.test[:MEASURED_ROWS])
    fine = ask(
        run.at(max(OFFERED_STEPS)), with_steps(density, FINE_STEPS), prepared, "log_prob", inputs
    )
    offered = []
    for steps in OFFERED_STEPS:
        at = run.at(steps)
        answers = replace(fine, got=at("log_prob", inputs))
        passes = max(with_steps(density, steps).bijection.passes())
        offered.append(
            StepChoice(
                steps=steps,
                log_prob_error=summary(answers.error("log_prob")),
                round_trip_error=summary(round_trip(at, answers, prepared)),
                passes=passes,
            )
        )
    good = [choice.steps for choice in offered if choice.log_prob_error.p999 < MAX_DEFAULT_ERROR]
    return StepChoices(default=min(good, default=max(OFFERED_STEPS)), offered=tuple(offered))


def with_steps(density: Flow, steps: int) -> Flow:
    """The same density, parameters shared, with another number of steps."""
    return Flow(stepped(density.bijection, steps), density.base)


def solved(density: Flow) -> Flow:
    """The density with as many steps as are ever offered, where it has a solver."""
    return with_steps(density, max(OFFERED_STEPS)) if is_continuous(density.bijection) else density
