"""How many steps a solver takes: chosen by the caller among those that export measured."""

from __future__ import annotations

from exported.manifest import Manifest
from service.errors import invalid


def choose(manifest: Manifest, steps: int | None) -> int | None:
    """The number of steps to run with; None for a model without a solver.

    Args:
        manifest: Of the model.
        steps: What was asked for; None is the manifest's default.

    Raises:
        ServiceError: ``invalid_input`` if the model does not offer that number.
    """
    if manifest.steps is None:
        if steps is None:
            return None
        raise invalid(f"expected no 'steps', as {manifest.name} has no solver, got {steps}")
    offered = [choice.steps for choice in manifest.steps.offered]
    if steps is None:
        return manifest.steps.default
    if steps not in offered:
        counts = ", ".join(map(str, offered))
        raise invalid(f"expected 'steps' to be one of {counts}, got {steps}")
    return steps


def calibrated(manifest: Manifest, steps: int | None) -> int | None:
    """The same where a p-value is wanted, which belongs to the default number of steps.

    Raises:
        ServiceError: ``invalid_input`` if another number was asked for.
    """
    chosen = choose(manifest, steps)
    if manifest.steps is not None and chosen != manifest.steps.default:
        raise invalid(
            f"expected 'steps' of {manifest.steps.default}, at which the p-values of "
            f"{manifest.name} are calibrated, got {chosen}; log_prob takes other numbers"
        )
    return chosen
