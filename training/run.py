"""One training run from recipe to bundle, and the second half of it again from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from exported.kinds import AnyManifest
from training.checkpoint import FitState, Origin, load
from training.checkpoint import save as save_checkpoint
from training.describe import Facts, Trained
from training.evaluate import Separation, full_flow, separation
from training.families import build_flow
from training.fit import EpochReport, fit
from training.flow import Flow
from training.layers import Sizes
from training.objectives import objective_of
from training.prepared import Prepared, prepare
from training.publish import publish
from training.recipes import AutoencoderConfig, Recipe, VAEConfig
from training.steps import with_steps
from training.table import Table
from training.vae.work import AutoencoderWork

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Published:
    """What a run leaves.

    Attributes:
        folder: Of the bundle.
        manifest: Of the bundle.
        separation: Of labelled anomalies, where the data has them.
        epochs: Trained.
        best_epoch: The one whose parameters were published.
    """

    folder: Path
    manifest: AnyManifest
    separation: Separation | None
    epochs: int
    best_epoch: int


class Work(Protocol):
    """What a run of one kind of model does, between the checkpoint and the bundle."""

    @property
    def prepared(self) -> Prepared:
        """The data."""

    def fit(
        self,
        state: FitState,
        save: Callable[[FitState], None],
        report: Callable[[EpochReport], None],
    ) -> FitState:
        """Train; see :func:`training.fit.fit`."""

    def publish(
        self, facts: Facts, best: Mapping[str, Tensor], root: Path
    ) -> tuple[Path, AnyManifest, Separation | None]:
        """Export, measure, calibrate and write the best parameters."""


class Run:
    """A recipe applied to a table.

    Args:
        recipe: What to train.
        table: What on, without the columns that the recipe drops.
        source: Where the table can be had again: a data set's name or a file's path.
        command: The command line that trains, for provenance.
        folder: Holds the checkpoint.

    Raises:
        ValueError: If the table does not suit the recipe.
    """

    def __init__(
        self, recipe: Recipe, table: Table, source: str, command: str, folder: Path
    ) -> None:
        self.recipe, self.table = recipe, table
        self.origin = Origin(table.sha256(), source, command)
        self.checkpoint = folder / CHECKPOINT_FILE
        autoencodes = isinstance(recipe.model, AutoencoderConfig | VAEConfig)
        self.work: Work = (AutoencoderWork if autoencodes else FlowWork)(recipe, table)
        self.prepared = self.work.prepared

    def saved_state(self, checkpoint: Path | None = None) -> FitState:
        """The state in the run's own checkpoint, or in another file.

        Raises:
            ValueError: If there is none, or it belongs to another recipe or other data.
        """
        path = checkpoint or self.checkpoint
        recipe, origin, state = load(path)
        if origin.sha256 != self.origin.sha256:
            raise ValueError(f"{path} was made from other data than was given")
        if recipe.model_copy(update={"fit": self.recipe.fit}) != self.recipe:
            raise ValueError(f"{path} was made by another recipe than was given")
        return state

    def unfinished_epochs(self) -> int:
        """Epochs that a fresh start would throw away: of an interrupted run of the same recipe."""
        try:
            state = self.saved_state()
        except ValueError:
            return 0
        return 0 if state.finished else state.epoch

    def fit(self, state: FitState, report: Callable[[EpochReport], None]) -> FitState:
        """Train; see :func:`training.fit.fit`."""

        def save(at: FitState) -> None:
            save_checkpoint(self.checkpoint, self.recipe, self.origin, at)

        return self.work.fit(state, save, report)

    def publish(self, state: FitState, root: Path) -> Published:
        """Export, measure, calibrate and write the best parameters of a state."""
        facts = Facts(
            recipe=self.recipe,
            prepared=self.prepared,
            data_name=self.table.name,
            data_sha256=self.origin.sha256,
            seconds=state.seconds,
            command=self.origin.command,
        )
        folder, manifest, separated = self.work.publish(facts, state.best, root)
        return Published(folder, manifest, separated, state.epoch, state.best_epoch)


class FlowWork:
    """The :class:`Work` of a flow."""

    def __init__(self, recipe: Recipe, table: Table) -> None:
        self.prepared: Prepared = prepare(recipe, table)
        self._how = recipe.fit, objective_of(recipe.flow())
        self.flow = fresh_flow(recipe, self.prepared)

    def fit(
        self,
        state: FitState,
        save: Callable[[FitState], None],
        report: Callable[[EpochReport], None],
    ) -> FitState:
        """See :meth:`Work.fit`."""
        return fit(self.flow, self.prepared, self._how, state, save, report)

    def publish(
        self, facts: Facts, best: Mapping[str, Tensor], root: Path
    ) -> tuple[Path, AnyManifest, Separation | None]:
        """See :meth:`Work.publish`."""
        self.flow.load_state_dict(best)
        density = full_flow(self.flow, self.prepared)
        given = {field.name: getattr(facts, field.name) for field in fields(facts)}
        folder, manifest = publish(Trained(**given, density=density), root)
        if manifest.steps is not None:
            density = with_steps(density, manifest.steps.default)
        return folder, manifest, separation(density, self.prepared)


def fresh_flow(recipe: Recipe, prepared: Prepared) -> Flow:
    """The recipe's layers before any training, the same every time."""
    torch.set_num_threads(recipe.fit.threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        generator = torch.Generator().manual_seed(recipe.seed)
        features, context = prepared.columns.modelled, prepared.context.modelled
        sizes = Sizes(len(features), len(context), prepared.image)
        return build_flow(recipe.flow(), sizes, generator)
