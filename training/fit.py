"""The training loop, in the order things happen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from training.checkpoint import FitState
from training.chunks import rows_at_once
from training.objectives import Objective
from training.prepared import FlowInput, Prepared
from training.recipes import FitConfig
from training.streams import Stream
from training.trainee import Trainee

T = TypeVar("T", bound=Trainee)

# Most rows that set the data-dependent first scales.
INITIAL_ROWS = 4096
# Steps with a non-finite gradient are skipped; this many in one epoch is a divergence.
MAX_SKIPPED = 10


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What a progress bar shows.

    Attributes:
        epoch: Epochs done, from 1.
        epochs: Epochs planned.
        train_nats: Mean log-likelihood of the epoch's rows in the user's units, nats per row; None
            where the fit minimises something else.
        validation_nats: The same for the validation rows.
        best_nats: Best validation so far.
        seconds: Time of the fit so far, by the recipe's clock.
        seconds_left: Estimate until the last epoch or the time limit, whichever is first.
    """

    epoch: int
    epochs: int
    train_nats: float | None
    validation_nats: float
    best_nats: float
    seconds: float
    seconds_left: float


def fit(
    model: T,
    prepared: Prepared,
    how: tuple[FitConfig, Objective[T]],
    state: FitState,
    save: Callable[[FitState], None],
    report: Callable[[EpochReport], None],
) -> FitState:
    """Train until the epochs, the patience or the time are used up.

    The state is saved after every epoch, so an interruption loses at most one.

    Args:
        model: Fresh; holds the best parameters when done.
        prepared: The data.
        how: The recipe's ``fit`` section, and the loss.
        state: A fresh one, or a checkpoint's to go on from.
        save: Keeps the state; called after every epoch.
        report: Called after every epoch.

    Raises:
        ValueError: If the likelihood diverges.
    """
    config, objective = how
    held_back = prepared.split.validation[: objective.validation_rows(model)]
    noise = prepared.noise(Stream.VALIDATION)
    validation = _smoothed(prepared.flow_input(held_back, noise), config.noise, noise)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    if state.epoch:
        model.load_state_dict(state.parameters)
        optimiser.load_state_dict(state.optimiser)
        state.finished = _is_over(state, config)
    else:
        _initialise(model, prepared)
    clock = _Clock(state.seconds, config)
    while not state.finished:
        train_nats = _epoch(model, optimiser, prepared, how, (state, clock))
        noise = prepared.noise(Stream.VALIDATION, 1)  # The same in every epoch.
        validation_nats = mean_nats(objective, model, validation, noise)
        state.seconds = clock.seconds()
        state.parameters = {name: value.clone() for name, value in model.state_dict().items()}
        _note_best(state, validation_nats)
        state.optimiser = optimiser.state_dict()
        state.finished = _is_over(state, config)
        save(state)
        report(_report(state, config, train_nats, validation_nats))
    model.load_state_dict(state.best)
    return state


@torch.no_grad()
def mean_nats(
    objective: Objective[T], model: T, rows: FlowInput, noise: np.random.Generator
) -> float:
    """Mean of the objective's nats over preprocessed rows, in the user's units, nats per row."""
    nats = []
    step = rows_at_once(rows.x.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        nats.append(objective.nats(model, part, noise))
    return float((torch.cat(nats) + rows.log_det).double().mean())


def _initialise(model: Trainee, prepared: Prepared) -> None:
    rows = prepared.split.train[: min(INITIAL_ROWS, rows_at_once(len(prepared.columns.modelled)))]
    first = prepared.flow_input(rows, prepared.noise(Stream.BATCHES))
    model.initialise(first.x, first.context)


class _Clock:
    """Time of the fit over all resumptions."""

    def __init__(self, before: float, config: FitConfig) -> None:
        self._now = time.process_time if config.clock == "processor" else time.monotonic
        self._begin = self._now() - before

    def seconds(self) -> float:
        return self._now() - self._begin


def _epoch(
    model: T,
    optimiser: torch.optim.Optimizer,
    prepared: Prepared,
    how: tuple[FitConfig, Objective[T]],
    so_far: tuple[FitState, _Clock],
) -> float | None:
    """The objective's passes over the training rows, or what the time allows of them.

    Returns:
        The mean log-likelihood of the rows, where that is the objective.
    """
    (config, objective), (state, clock) = how, so_far
    noise = prepared.noise(Stream.BATCHES, state.epoch + 1)
    drawn = prepared.noise(Stream.OBJECTIVE, state.epoch + 1)
    rows = _smoothed(prepared.flow_input(prepared.split.train, noise), config.noise, noise)
    batches = [
        batch
        for _ in range(objective.passes)
        for batch in _batches(config, torch.from_numpy(noise.permutation(len(rows))))
    ]
    nats: list[float] = []
    for batch in batches:
        progress = max(
            state.step / (config.epochs * len(batches)), state.seconds / config.max_seconds
        )
        _set_learning_rate(optimiser, config, progress)
        loss = objective(model, rows[batch], drawn, state.epoch)
        nats.append(_step(model, optimiser, loss, config))
        state.step += 1
        if clock.seconds() >= config.max_seconds:
            break
    finite = [value for value in nats if math.isfinite(value)]
    skipped = len(nats) - len(finite)
    if skipped > min(MAX_SKIPPED, len(nats) // 2):
        raise ValueError(
            f"training diverged in epoch {state.epoch + 1}: {skipped} of {len(nats)} steps had "
            f"no finite gradient; try a smaller learning_rate than {config.learning_rate}"
        )
    state.epoch += 1
    if not objective.is_likelihood:
        return None
    return sum(finite) / len(finite) + float(rows.log_det.double().mean())


def _smoothed(
    rows: FlowInput, deviations: tuple[float, float] | None, noise: np.random.Generator
) -> FlowInput:
    """The rows with normal noise on them, of a deviation that each draws between the two."""
    if deviations is None:
        return rows
    low, high = np.log(deviations)
    own = np.exp(noise.uniform(low, high, (len(rows), 1)))
    drawn = own * noise.standard_normal(rows.x.shape)
    return replace(rows, x=rows.x + torch.from_numpy(drawn).to(rows.x))


def _batches(config: FitConfig, order: Tensor) -> list[Tensor]:
    """Row numbers of each step; a short rest is left out, another permutation will take it."""
    batches = list(torch.split(order, config.batch_rows))
    short = len(batches) > 1 and len(batches[-1]) < config.batch_rows // 2
    return batches[:-1] if short else batches


def _step(
    model: Trainee, optimiser: torch.optim.Optimizer, loss: Tensor, config: FitConfig
) -> float:
    """One step down a loss, which is returned negated; NaN, and no step, without a gradient."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if not math.isfinite(norm.item()):
        return math.nan
    optimiser.step()
    return -float(loss.item())


def _set_learning_rate(
    optimiser: torch.optim.Optimizer, config: FitConfig, progress: float
) -> None:
    """Half a cosine from the peak to zero over the fit's steps, or its time if that ends first."""
    rate = config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    for group in optimiser.param_groups:
        group["lr"] = rate


def _note_best(state: FitState, validation_nats: float) -> None:
    if validation_nats > state.best_nats:
        state.best_nats, state.best_epoch = validation_nats, state.epoch
        state.best = state.parameters
    if not state.best:
        raise ValueError(f"training diverged: validation log-likelihood is {validation_nats}")


def _is_over(state: FitState, config: FitConfig) -> bool:
    out_of_patience = state.epoch - state.best_epoch >= config.patience
    return state.epoch >= config.epochs or out_of_patience or state.seconds >= config.max_seconds


def _report(
    state: FitState, config: FitConfig, train_nats: float | None, validation_nats: float
) -> EpochReport:
    left = (config.epochs - state.epoch) * state.seconds / state.epoch
    left = 0.0 if state.finished else min(left, config.max_seconds - state.seconds)
    return EpochReport(
        epoch=state.epoch,
        epochs=config.epochs,
        train_nats=train_nats,
        validation_nats=validation_nats,
        best_nats=state.best_nats,
        seconds=state.seconds,
        seconds_left=left,
    )
