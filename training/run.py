"""One training run from recipe to bundle, and the second half of it again from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from exported.kinds import AnyManifest
from training.checkpoint import FitState, Origin, load
from training.checkpoint import save as save_checkpoint
from training.describe import Facts, Trained
from training.energy import Target
from training.energy_work import EnergyWork
from training.evaluate import Separation, full_flow, separation
from training.evidence import Evidence
from training.families import fresh_flow
from training.fit import EpochReport, fit
from training.objectives import objective_of
from training.prepared import Prepared, prepare
from training.publish import publish
from training.recipes import AutoencoderConfig, EnergyFitConfig, Recipe, VAEConfig
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
        return 0 if state.finished else state.epoch

    def fit(self, state: FitState, report: Callable[[EpochReport], None]) -> FitState:
        """Train; see :func:`training.fit.fit`."""

        def save(at: FitState) -> None:
            save_checkpoint(self.checkpoint, self.recipe, self.origin, at)

        return self.work.fit(state, save, report)

    def publish(self, state: FitState, root: Path) -> Published:
        """Export, measure, calibrate and write the best parameters of a state."""
        self.work.take(state.best)
        facts = Facts(
            recipe=self.recipe.portable(),
            prepared=self.prepared,
            data_name=self.given.name,
            data_sha256=self.origin.sha256,
            seconds=state.seconds,
            command=self.origin.command,
        )
        folder, manifest, told = self.work.publish(facts, root)
        return Published(folder, manifest, told, state.epoch, state.best_epoch)


def work_of(recipe: Recipe, given: Table | Target) -> Work:
    """The work of a recipe on what it is given."""
    if isinstance(given, Target):
        return EnergyWork(recipe, given)
    autoencodes = isinstance(recipe.model, AutoencoderConfig | VAEConfig)
    return (AutoencoderWork if autoencodes else FlowWork)(recipe, given)


def _target(recipe: Recipe) -> tuple[str | None, tuple[str, ...]] | None:
    """What names the energy, where a recipe's fit is to one; its file is known by its digest."""
    fit = recipe.portable().fit
    return (fit.energy, fit.features) if isinstance(fit, EnergyFitConfig) else None


class FlowWork:
    """The :class:`Work` of a flow."""

    def __init__(self, recipe: Recipe, table: Table) -> None:
        self.prepared: Prepared = prepare(recipe, table)
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

    def publish(self, facts: Facts, root: Path) -> tuple[Path, AnyManifest, Separation | None]:
        """See :meth:`Work.publish`."""
        density = full_flow(self.flow, self.prepared)
        folder, manifest = publish(Trained.of(facts, density), root)
        if manifest.steps is not None:
            density = with_steps(density, manifest.steps.default)
        return folder, manifest, separation(density, self.prepared)
