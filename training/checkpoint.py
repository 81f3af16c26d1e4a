"""Checkpoints: a run that can go on, or be exported, after the process that began it is gone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.recipes import Recipe

# Of the parameters in a checkpoint; another number is another set of names or shapes.
LAYOUT = 2
State = dict[str, Tensor]
_NONE = "{} is not a checkpoint of this version"


@dataclass(slots=True)
class FitState:
    """Where a fit stands at the end of an epoch.

    Attributes:
        epoch: Epochs done.
        step: Optimiser steps done.
        seconds: Time spent by the recipe's clock, over all resumptions.
        parameters: Of the layers being trained.
        best: The parameters that validated best.
        best_nats: Its validation log-likelihood, nats per row.
        best_epoch: The epoch it was seen in.
        optimiser: State of the optimiser.
        finished: True when the fit stopped by itself.
        scores: Of the rows of each part that is trimmed, by a fit before this one; none where
            nothing is trimmed, or that fit has not ended.
        epochs_before: Of that fit.
        seconds_before: Of that fit.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    parameters: State = field(default_factory=dict)
    best: State = field(default_factory=dict)
    best_nats: float = float("-inf")
    best_epoch: int = 0
    optimiser: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    scores: State = field(default_factory=dict)
    epochs_before: int = 0
    seconds_before: float = 0.0

    def begin_again(self, scores: State) -> None:
        """Become the state of a fresh fit, to rows of which the scores are known."""
        fresh = FitState(scores=scores, epochs_before=self.epoch, seconds_before=self.seconds)
        for name in FitState.__slots__:
            setattr(self, name, getattr(fresh, name))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run comes from.

    Attributes:
        sha256: Digest of the table.
        source: Name of a data set, or path of a file.
        command: The command line that trains.
    """

    sha256: str
    source: str
    command: str


def save(path: Path, recipe: Recipe, origin: Origin, state: FitState) -> None:
    """Write a checkpoint; the previous one stays until the new one is complete."""
    draft = path.with_suffix(".draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {name: getattr(state, name) for name in FitState.__slots__}
    content = {
        "layout": LAYOUT,
        "recipe": recipe.model_dump_json(),
        "sha256": origin.sha256,
        "source": origin.source,
        "command": origin.command,
        "state": fields,
    }
    torch.save(content, draft)
    os.replace(draft, path)


def load(path: Path) -> tuple[Recipe, Origin, FitState]:
    """Read a checkpoint: the recipe, its data, and the state.

    Raises:
        ValueError: If it is missing or is no checkpoint.
    """
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    content = _content(path)
    if content.get("layout") != LAYOUT:
        raise ValueError(
            f"{path} was written by another version of logdet; train again: "
            f"{content.get('command', 'logdet train')}"
        )
    try:
        recipe = Recipe.model_validate_json(content["recipe"])
        origin = Origin(content["sha256"], content["source"], content["command"])
        return recipe, origin, FitState(**content["state"])
    except Exception as error:
        raise ValueError(_NONE.format(path)) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        # Only tensors and plain values are ever unpickled.
        content = torch.load(path, weights_only=True, map_location="cpu")
        return dict(content)
    except Exception as error:
        raise ValueError(_NONE.format(path)) from error
