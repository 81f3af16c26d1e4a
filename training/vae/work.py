"""A training run of an autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from exported.kinds import AnyManifest
from training.checkpoint import FitState
from training.describe import Facts
from training.evaluate import Separation
from training.fit import EpochReport, fit
from training.recipes import AutoencoderConfig, Recipe, VAEConfig
from training.table import Table
from training.vae.autoencoder import Autoencoder
from training.vae.build import build_autoencoder, build_vae
from training.vae.data import Observations, prepare_observations
from training.vae.model import VAE
from training.vae.objectives import Bound, Reconstruction
from training.vae.publish import publish_autoencoder

Save = Callable[[FitState], None]
Report = Callable[[EpochReport], None]


class AutoencoderWork:
    """The work of a run, see :class:`training.run.Work`, for both kinds of autoencoder.

    Args:
        recipe: Of one.
        table: What on.

    Raises:
        ValueError: If the table does not suit the recipe.
    """

    def __init__(self, recipe: Recipe, table: Table) -> None:
        self.prepared: Observations = prepare_observations(recipe, table)
        self._recipe = recipe
        self.model = fresh(recipe, self.prepared)

    def fit(self, state: FitState, save: Save, report: Report) -> FitState:
        """See :meth:`training.run.Work.fit`."""
        config, model = self._recipe.model, self.model
        if isinstance(model, VAE) and isinstance(config, VAEConfig):
            how = self._recipe.rows_fit(), Bound(config)
            return fit(model, self.prepared, how, state, save, report)
        if not isinstance(model, Autoencoder):
            raise TypeError(f"expected an autoencoder, got {type(model).__name__}")
        plain = self._recipe.rows_fit(), Reconstruction()
        return fit(model, self.prepared, plain, state, save, report)

    def take(self, best: Mapping[str, Tensor]) -> None:
        """See :meth:`training.run.Work.take`."""
        self.model.load_state_dict(best)

    def publish(self, facts: Facts, root: Path) -> tuple[Path, AnyManifest, Separation | None]:
        """See :meth:`training.run.Work.publish`."""
        return publish_autoencoder(facts, self.model, root)


def fresh(recipe: Recipe, data: Observations) -> VAE | Autoencoder:
    """The recipe's model before any training, the same every time."""
    torch.set_num_threads(recipe.fit.threads)
    config = recipe.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if isinstance(config, VAEConfig):
            return build_vae(config, data, torch.Generator().manual_seed(recipe.seed))
        if isinstance(config, AutoencoderConfig):
            return build_autoencoder(config, data)
    raise TypeError(f"expected an autoencoder, got the family {config.family}")
