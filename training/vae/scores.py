"""Scores of rows as the service gives them, from the exported graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.golden import RunGraph
from training.chunks import rows_at_once
from training.recipes import AutoencoderConfig, VAEConfig
from training.table import Examples
from training.vae.autoencoder import Autoencoder
from training.vae.data import Observations
from training.vae.measure import score_noise
from training.vae.model import VAE

SCORE_SEED = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores rows: negative errors, or importance bounds from the same noise for every row.

    Attributes:
        run: The graphs, or the trained model in their place.
        model: That they were exported from.
        config: Its recipe's.
        data: What it was trained on.
    """

    run: RunGraph
    model: VAE | Autoencoder
    config: VAEConfig | AutoencoderConfig
    data: Observations

    def __call__(self, examples: Examples) -> NDArray[np.float64]:
        """Scores of raw rows, ``(rows,)``; -inf out of support."""
        x = self.data.inputs(examples)["x"]
        if isinstance(self.model, VAE) and isinstance(self.config, VAEConfig):
            scores = self._bounds(self.model, self.config.score_samples, x)
        else:
            scores = -self.run("reconstruct", {"x": x})["error"].astype(np.float64)
        return np.where(self.data.in_support(examples), scores, -np.inf)

    def _bounds(self, model: VAE, samples: int, x: NDArray[np.generic]) -> NDArray[np.float64]:
        noise = score_noise(model, samples, SCORE_SEED)
        depths = model.depths()
        depth = {"depth": np.array(depths[-1], np.int64)} if len(depths) > 1 else {}
        step = rows_at_once(samples * max(x.shape[1], noise.shape[2]))
        scores = [np.empty(0)]
        for start in range(0, len(x), step):
            few = x[start : start + step]
            repeated = np.repeat(noise, len(few), axis=0)
            given = {"x": few, "noise": repeated, **depth}
            weights = self.run("log_weight", given)["log_weight"].astype(np.float64)
            highest = weights.max(axis=1, keepdims=True)
            scores.append(highest[:, 0] + np.log(np.exp(weights - highest).mean(axis=1)))
        return np.concatenate(scores)
