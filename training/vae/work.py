"""A training run of an autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from exported.kinds import AnyManifest
from training.checkpoint import FitState
from training.chunks import rows_at_once
from training.describe import Facts
from training.evaluate import Separation
from training.fit import EpochReport, fit
from training.recipes import AutoencoderConfig, Recipe, VAEConfig
from training.table import Examples, Rows, Table
from training.vae.autoencoder import Autoencoder
from training.vae.build import build_autoencoder, build_vae
from training.vae.data import Observations, prepare_observations
from training.vae.model import VAE
from training.vae.objectives import Bound, Reconstruction
from training.vae.publish import publish_autoencoder
from training.vae.scores import Scores
from training.vae.truth import Truth

Save = Callable[[FitState], None]
Report = Callable[[EpochReport], None]
_NONE: Mapping[str, Rows] = MappingProxyType({})


class AutoencoderWork:
    """The work of a run, see :class:`training.run.Work`, for both kinds of autoencoder.

    Args:
        recipe: Of one.
        table: What on.
        scores: See :func:`training.prepared.prepare`.

    Raises:
        ValueError: If the table does not suit the recipe.
    """

    def __init__(self, recipe: Recipe, table: Table, scores: Mapping[str, Rows] = _NONE) -> None:
        self.prepared: Observations = prepare_observations(recipe, table, scores)
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

    def scores(self, examples: Examples) -> Rows:
        """See :meth:`training.run.Work.scores`."""
        config, truth = self._recipe.model, Truth(self.model, self.prepared)
        if not isinstance(config, VAEConfig | AutoencoderConfig):
            raise TypeError(f"expected an autoencoder, got the family {config.family}")
        score = Scores(truth, self.model, config, self.prepared)
        step = rows_at_once(examples.rows.shape[1])
        starts = range(0, len(examples), step)
        return np.concatenate([np.empty(0), *(score(examples[i : i + step]) for i in starts)])

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
