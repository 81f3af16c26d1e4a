"""A training run on an energy, whose rows are draws of the fitted flow."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exported.kinds import AnyManifest
from training.bijections import Chain, Linear, Standardise
from training.checkpoint import FitState
from training.chunks import rows_at_once
from training.columns import Columns, describe_columns
from training.describe import Facts, Trained
from training.energy import Target
from training.evaluate import full_flow
from training.evidence import Evidence
from training.families import fresh_flow
from training.fit import EpochReport
from training.flow import Flow
from training.layers import Sizes
from training.prepared import Prepared
from training.publish import publish
from training.recipes import EnergyFitConfig, Recipe
from training.reverse_kl import Descent, drawn
from training.streams import Stream, generator
from training.table import Examples, Rows, Table, split

# Draws of the fitted flow: a tenth of them calibrates, all estimate the normaliser.
DRAWS = 20_000
# Reports, and checkpoints, over a whole fit.
REPORTS = 100


class EnergyWork:
    """The :class:`training.run.Work` of a flow fitted to an energy.

    Args:
        recipe: Whose fit is to an energy.
        target: The energy.
    """

    def __init__(self, recipe: Recipe, target: Target) -> None:
        if not isinstance(recipe.fit, EnergyFitConfig):
            raise TypeError("expected a fit to an energy, got one to rows")
        self._recipe, self._config, self._target = recipe, recipe.fit, target
        self.flow = fresh_flow(recipe, Sizes(len(target.features)))

    @property
    def prepared(self) -> Prepared:
        """Draws of the flow as it stands, in place of data."""
        rows, _ = self._draws()
        table = Table(self._target.name, self._target.features, rows)
        return prepared_draws(table, self._recipe.seed)

    def fit(
        self,
        state: FitState,
        save: Callable[[FitState], None],
        report: Callable[[EpochReport], None],
    ) -> FitState:
        """Take all steps; what a state and a report call epochs are steps.

        Raises:
            ValueError: If the fit diverges.
        """
        config, features = self._config, len(self._target.features)
        descent = Descent(self.flow, self._target.energy, features, config, self._recipe.seed)
        if state.step:
            self.flow.load_state_dict(state.parameters)
            descent.go_on(state.step, state.optimiser)
        begin = time.monotonic() - state.seconds
        every = max(1, config.steps // REPORTS)
        bounds: list[float] = []
        while descent.done < config.steps:
            bounds.append(descent.step())
            if descent.done % every and descent.done < config.steps:
                continue
            state.seconds = time.monotonic() - begin
            _note(state, self.flow, descent, float(np.mean(bounds)))
            state.finished = descent.done == config.steps
            save(state)
            report(_report(state, config.steps))
            bounds.clear()
        return state

    def take(self, best: Mapping[str, Tensor]) -> None:
        """See :meth:`training.run.Work.take`."""
        self.flow.load_state_dict(best)

    def scores(self, examples: Examples) -> Rows:
        """No rows are trimmed where there are none.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"expected rows of a table, got {len(examples)} beside an energy")

    def publish(self, facts: Facts, root: Path) -> tuple[Path, AnyManifest, Evidence]:
        """See :meth:`training.run.Work.publish`.

        Raises:
            ValueError: If the energy is not finite at some draw, or as of a flow fitted to rows.
        """
        rows, log_q = self._draws()
        evidence = Evidence.of(-self._energies(rows) - log_q)
        density = full_flow(in_own_units(self.flow, facts.prepared), facts.prepared)
        return *publish(Trained.of(facts, density), root), evidence

    @torch.no_grad()
    def _energies(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of rows ``(rows, features)``, nats; float32 is what the function has seen so far."""
        seen, step = torch.from_numpy(rows).float(), rows_at_once(rows.shape[1])
        parts = [self._target.energy(seen[i : i + step]) for i in range(0, len(seen), step)]
        return torch.cat(parts).double().numpy()

    @torch.no_grad()
    def _draws(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows of the flow as it stands, the same every time, and their log-density, nats."""
        noise = generator(self._recipe.seed, Stream.DRAWS)
        latents = noise.standard_normal((DRAWS, len(self._target.features)))
        rows, log_q = drawn(copy.deepcopy(self.flow).double(), torch.from_numpy(latents))
        return rows.numpy(), log_q.numpy()


def prepared_draws(table: Table, seed: int) -> Prepared:
    """Draws of a flow as the rows that a bundle is described, calibrated and measured on.

    They are scaled alone, so that what is measured in deviations is.
    """
    parts = split(table, seed)
    parts = replace(parts, description=f"draws of the flow; {parts.description}")
    columns = describe_columns(table.columns, parts.train.rows, frozenset(table.columns))
    rows = torch.from_numpy(parts.train.rows)
    return Prepared(
        split=parts,
        columns=columns,
        context=Columns(()),
        preprocessing=Chain([Standardise(rows.mean(dim=0), rows.std(dim=0))]),
        context_preprocessing=Chain([]),
        seed=seed,
    )


def in_own_units(flow: Flow, prepared: Prepared) -> Flow:
    """A flow on raw rows as one behind their scaling, which its first layer undoes.

    That layer is folded into the flow's own linear ones at export.
    """
    (scaling,) = prepared.preprocessing.bijections
    if not isinstance(scaling, Standardise):
        raise TypeError(f"expected rows that are scaled, got {type(scaling).__name__}")
    back = Linear(torch.diag(scaling.scale), scaling.centre)
    return Flow(Chain([back, *flow.bijection.bijections]), flow.base)


def _note(state: FitState, flow: Flow, descent: Descent, bound: float) -> None:
    """The last parameters are the best: there is no validation to choose by."""
    state.step = state.epoch = state.best_epoch = descent.done
    state.best_nats = bound
    state.parameters = {name: value.clone() for name, value in flow.state_dict().items()}
    state.best = state.parameters
    state.optimiser = descent.optimiser.state_dict()


def _report(state: FitState, steps: int) -> EpochReport:
    return EpochReport(
        epoch=state.step,
        epochs=steps,
        train_nats=None,
        validation_nats=state.best_nats,
        best_nats=state.best_nats,
        seconds=state.seconds,
        seconds_left=(steps - state.step) * state.seconds / state.step,
    )
