"""What a VAE and an autoencoder do alike: rows from latents, and rows that come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from exported.kinds import AutoencoderManifest, VAEManifest
from service.loaded import Loaded
from service.results import NON_FINITE_INPUT, OK, Floats, Made, Reconstructed
from service.status import mask, settle

M = TypeVar("M", VAEManifest, AutoencoderManifest)


@dataclass(frozen=True, slots=True)
class LatentModel(Loaded[M]):
    """A model whose rows go through fewer numbers than they have."""

    def decode(self, z: Floats) -> Made:
        """Rows at given latents ``(rows, latent_features)``: the likelihood's mean, not rounded.

        Constants are the manifest's.
        """
        finite = np.asarray(np.isfinite(z).all(axis=1))
        asked = np.where(finite, OK, NON_FINITE_INPUT).astype(np.uint8)
        runnable = z if finite.all() else np.where(finite[:, None], z, 0.0)
        x = self.run("decode", {"z": runnable}, {})["x"]
        status = settle(asked, x)
        return Made(mask(self.rules.exact(x), status), status)

    def come_back(self, x: Floats, options: Mapping[str, int | None]) -> Reconstructed:
        """Rows ``(rows, features)`` encoded and decoded, with options of the graph."""
        before = self.rules.judge(x)
        out = self.run("reconstruct", {"x": self.rules.runnable(x, before)}, options)
        back, error = out["reconstruction"], out["error"]
        status = settle(before, back, error)
        return Reconstructed(mask(self.rules.exact(back), status), mask(error, status), status)
