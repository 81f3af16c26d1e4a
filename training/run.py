"""One training run from recipe to bundle, and the second half of it again from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from exported.kinds import AnyManifest
from training.checkpoint import FitState, Origin, load
from training.checkpoint import save as save_checkpoint
from training.describe import Facts, Trained
from training.energy import Target
from training.energy_work import EnergyWork
from training.evaluate import Separation, full_flow, separation, served_log_prob
from training.evidence import Evidence
from training.families import fresh_flow
from training.fit import EpochReport, fit
from training.objectives import objective_of
from training.prepared import Prepared, prepare
from training.publish import publish
from training.recipes import AutoencoderConfig, EnergyFitConfig, Recipe, VAEConfig
from training.steps import solved, with_steps
from training.table import Examples, Rows, Table
from training.vae.work import AutoencoderWork

CHECKPOINT_FILE = "checkpoint.pt"
# Parts that a first fit trims: those that move the parameters and that choose the epoch.
TRIMMED = ("train", "validation")
_NONE: Mapping[str, Rows] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Published:
    """What a run leaves.

    Attributes:
        folder: Of the bundle.
        manifest: Of the bundle.
        told: Beside the manifest: of labelled anomalies, where the data has them; of the
            normaliser, where there was an energy in place of data.
        epochs: Trained; steps, where there was an energy.
        best_epoch: The one whose parameters were published.
    """

    folder: Path
    manifest: AnyManifest
    told: Separation | Evidence | None
    epochs: int
    best_epoch: int


class Work(Protocol):
    """What a run of one kind of model does, between the checkpoint and the bundle."""

    @property
    def prepared(self) -> Prepared:
        """The data; where there is none, draws of the model as it stands."""

    def fit(
        self,
        state: FitState,
        save: Callable[[FitState], None],
        report: Callable[[EpochReport], None],
    ) -> FitState:
        """Train; see :func:`training.fit.fit`."""

    def take(self, best: Mapping[str, Tensor]) -> None:
        """Make these the parameters."""

    def scores(self, examples: Examples) -> Rows:
        """Scores ``(rows,)`` by the model as it stands, -inf out of support; a NaN is none."""

    def publish(
        self, facts: Facts, root: Path
    ) -> tuple[Path, AnyManifest, Separation | Evidence | None]:
        """Export, measure, calibrate and write the model as it stands."""


class Run:
    """A recipe applied to a table, or to an energy.

    Args:
        recipe: What to train.
        given: What on: a table without the columns that the recipe drops, or an energy.
        source: Where that can be had again: a data set's name or a file's path.
        command: The command line that trains, for provenance.
        folder: Holds the checkpoint.

    Raises:
        ValueError: If the table does not suit the recipe.
    """

    def __init__(
        self, recipe: Recipe, given: Table | Target, source: str, command: str, folder: Path
    ) -> None:
        self.recipe, self.given = recipe, given
        self.origin = Origin(given.sha256(), source, command)
        self.checkpoint = folder / CHECKPOINT_FILE
        self.work = work_of(recipe, given)

    @property
    def prepared(self) -> Prepared:
        """See :attr:`Work.prepared`."""
        return self.work.prepared

    def saved_state(self, checkpoint: Path | None = None) -> FitState:
        """The state in the run's own checkpoint, or in another file.

        Raises:
            ValueError: If there is none, or it belongs to another recipe or other data.
        """
        path = checkpoint or self.checkpoint
        recipe, origin, state = load(path)
        if origin.sha256 != self.origin.sha256:
            raise ValueError(f"{path} was made from other data than was given")
        fit_apart = recipe.model_copy(update={"fit": self.recipe.fit})
        if fit_apart != self.recipe or _target(recipe) != _target(self.recipe):
            raise ValueError(f"{path} was made by another recipe than was given")
        return state

    def unfinished_epochs(self) -> int:
        """Epochs that a fresh start would throw away: of an interrupted run of the same recipe."""
        try:
            state = self.saved_state()
        except ValueError:
            return 0
        return 0 if state.finished else state.epochs_before + state.epoch

    def fit(self, state: FitState, report: Callable[[EpochReport], None]) -> FitState:
        """Train; see :func:`training.fit.fit`.

        Where the recipe trims, a first fit finds the rows that the second one does without.
        """
        if self.recipe.trim and not state.scores:
            self._score(state, report)
        self._leave_out(state)
        return self.work.fit(state, self._save, report)

    def publish(self, state: FitState, root: Path) -> Published:
        """Export, measure, calibrate and write the best parameters of a state.

        Raises:
            ValueError: If the graphs are not exact enough, or the rows are yet to be trimmed.
        """
        self._leave_out(state)
        if self.recipe.trim and not (state.scores and state.best):
            raise ValueError(
                f"expected a fit to the rows that trim: {self.recipe.trim:g} leaves, got the "
                "one before it: go on with logdet train --resume"
            )
        self.work.take(state.best)
        facts = Facts(
            recipe=self.recipe.portable(),
            prepared=self.prepared,
            data_name=self.given.name,
            data_sha256=self.origin.sha256,
            seconds=state.seconds_before + state.seconds,
            command=self.origin.command,
        )
        folder, manifest, told = self.work.publish(facts, root)
        return Published(folder, manifest, told, state.epoch, state.best_epoch)

    def _save(self, state: FitState) -> None:
        save_checkpoint(self.checkpoint, self.recipe, self.origin, state)

    def _score(self, state: FitState, report: Callable[[EpochReport], None]) -> None:
        """Fit to all rows; the state becomes that of the next fit, with the scores of this one."""
        self.work.fit(state, lambda at: self._save(replace(at, finished=False)), report)
        state.finished = False
        parts = {part: getattr(self.prepared.split, part) for part in TRIMMED}
        scores = {part: self.work.scores(examples) for part, examples in parts.items()}
        lowest = {
            part: np.nan_to_num(s, nan=-np.inf, neginf=-np.inf) for part, s in scores.items()
        }
        state.begin_again({part: torch.from_numpy(s) for part, s in lowest.items()})
        self._save(state)

    def _leave_out(self, state: FitState) -> None:
        """Begin with a fresh model on the rows that are left, where their scores are known."""
        if state.scores and not self.prepared.split.trimmed:
            scores = {part: tensor.numpy() for part, tensor in state.scores.items()}
            self.work = work_of(self.recipe, self.given, scores)


def work_of(recipe: Recipe, given: Table | Target, scores: Mapping[str, Rows] = _NONE) -> Work:
    """The work of a recipe on what it is given; scores as of :func:`training.prepared.prepare`."""
    if isinstance(given, Target):
        return EnergyWork(recipe, given)
    autoencodes = isinstance(recipe.model, AutoencoderConfig | VAEConfig)
    return (AutoencoderWork if autoencodes else FlowWork)(recipe, given, scores)


def _target(recipe: Recipe) -> tuple[str | None, tuple[str, ...]] | None:
    """What names the energy, where a recipe's fit is to one; its file is known by its digest."""
    fit = recipe.portable().fit
    return (fit.energy, fit.features) if isinstance(fit, EnergyFitConfig) else None


class FlowWork:
    """The :class:`Work` of a flow."""

    def __init__(self, recipe: Recipe, table: Table, scores: Mapping[str, Rows] = _NONE) -> None:
        self.prepared: Prepared = prepare(recipe, table, scores)
        self._how = recipe.rows_fit(), objective_of(recipe.flow())
        self.flow = fresh_flow(recipe, self.prepared.sizes)

    def fit(
        self,
        state: FitState,
        save: Callable[[FitState], None],
        report: Callable[[EpochReport], None],
    ) -> FitState:
        """See :meth:`Work.fit`."""
        return fit(self.flow, self.prepared, self._how, state, save, report)

    def take(self, best: Mapping[str, Tensor]) -> None:
        """See :meth:`Work.take`."""
        self.flow.load_state_dict(best)

    def scores(self, examples: Examples) -> Rows:
        """See :meth:`Work.scores`."""
        return served_log_prob(
            solved(full_flow(self.flow, self.prepared)), self.prepared, examples
        )

    def publish(self, facts: Facts, root: Path) -> tuple[Path, AnyManifest, Separation | None]:
        """See :meth:`Work.publish`."""
        density = full_flow(self.flow, self.prepared)
        folder, manifest = publish(Trained.of(facts, density), root)
        if manifest.steps is not None:
            density = with_steps(density, manifest.steps.default)
        return folder, manifest, separation(density, self.prepared)
