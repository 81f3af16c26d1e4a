"""What a caller may choose at run time, among what export measured."""

from __future__ import annotations

from typing import NamedTuple

from exported.accuracy import StepChoices
from exported.bounds import DepthChoices
from exported.kinds import FlowManifest, VAEManifest
from service.errors import invalid
from service.results import Floats


class Choice(NamedTuple):
    """What a caller gives beside the rows; None of everything is the model's default.

    Attributes:
        context: Of a conditional density; shape ``(1, context_features)`` for all rows, or
            ``(rows, context_features)``.
        steps: Of a continuous flow's solver.
        depth: Of a VAE's posterior.
    """

    context: Floats | None = None
    steps: int | None = None
    depth: int | None = None


DEFAULT = Choice()


def choose_steps(manifest: FlowManifest, steps: int | None) -> int | None:
    """The number of steps to run with; None for a model without a solver.

    Raises:
        ServiceError: ``invalid_input`` if the model does not offer the number asked for.
    """
    return _choose("steps", steps, manifest.steps, f"{manifest.name} has no solver")


def choose_depth(manifest: VAEManifest, depth: int | None) -> int | None:
    """The depth to run with; None for a posterior of one depth.

    Raises:
        ServiceError: ``invalid_input`` if the model does not offer the depth asked for.
    """
    lacking = f"the posterior of {manifest.name} has one depth only"
    return _choose("depth", depth, manifest.depth, lacking)


def calibrated_steps(manifest: FlowManifest, steps: int | None) -> int | None:
    """The number of steps where a p-value is wanted, which is the default.

    Raises:
        ServiceError: If another number was asked for.
    """
    chosen = choose_steps(manifest, steps)
    if manifest.steps is not None:
        refuse_uncalibrated("steps", chosen, manifest.steps.default, manifest.name, "log_prob")
    return chosen


def calibrated_depth(manifest: VAEManifest, depth: int | None) -> int | None:
    """The depth where a p-value is wanted, which is the default.

    Raises:
        ServiceError: If another depth was asked for.
    """
    chosen = choose_depth(manifest, depth)
    if manifest.depth is not None:
        default = manifest.depth.default
        refuse_uncalibrated("depth", chosen, default, manifest.name, "log_prob_bound")
    return chosen


def refuse_uncalibrated(
    field: str, asked: int | None, expected: int, model: str, instead: str
) -> None:
    """Refuse a number other than that at which a model's scores were calibrated.

    Args:
        field: What the request calls it.
        asked: The number; None is the model's own.
        expected: The model's own.
        model: The model's name.
        instead: The operation that takes other numbers.

    Raises:
        ServiceError: ``invalid_input``.
    """
    if asked not in (None, expected):
        raise invalid(
            f"expected {field!r} of {expected}, at which the p-values of {model} are calibrated, "
            f"got {asked}; {instead} takes other numbers"
        )


def _choose(
    field: str, asked: int | None, choices: StepChoices | DepthChoices | None, lacking: str
) -> int | None:
    if choices is None:
        if asked is None:
            return None
        raise invalid(f"expected no {field!r}, as {lacking}, got {asked}")
    if asked is None:
        return choices.default
    if asked not in choices.numbers:
        offered = ", ".join(map(str, choices.numbers))
        raise invalid(f"expected {field!r} to be one of {offered}, got {asked}")
    return asked
