"""An autoencoder with its place in the batcher."""

from __future__ import annotations

import numpy as np

from service.autoencoder import Autoencoder
from service.jobs import Array, Arrays
from service.lanes import Lane
from service.model_metrics import ModelMetrics
from service.results import Encoded, Floats, Made, Reconstructed, Scored
from service.served import Served
from service.work import Work


class ServedAutoencoder(Served[Autoencoder]):
    """The operations of an autoencoder."""

    def __init__(self, model: Autoencoder, metrics: ModelMetrics, work: Work) -> None:
        super().__init__(model, metrics, work)
        self._encode = Lane(self._encoding, metrics.lane("encode"))
        self._decode = Lane(self._decoding, metrics.lane("decode"))
        self._reconstruct = Lane(self._reconstructing, metrics.lane("reconstruct"))
        self._score = Lane(model.score, metrics.lane("score"))

    async def encode(self, x: Floats) -> Encoded:
        """Latents of rows of shape ``(rows, features)``, in the user's units."""
        return Encoded(*await self._rows("encode", self._encode, x))

    async def decode(self, z: Floats) -> Made:
        """Rows at given latents of shape ``(rows, latent_features)``."""
        return Made(*await self._rows("decode", self._decode, z))

    async def reconstruct(self, x: Floats) -> Reconstructed:
        """Rows as they come back, and how far off."""
        return Reconstructed(*await self._rows("reconstruct", self._reconstruct, x))

    async def score(
        self, x: Floats, alpha: float | None = None, fdr: float | None = None
    ) -> Scored:
        """Negative error of rows and whether each is an anomaly; see :meth:`Loaded.decide`."""
        self.model.decide(np.empty(0), alpha, fdr)  # an impossible rate is refused before any run
        score, status = await self._rows("score", self._score, x)
        if self.drift is not None:
            self.drift.saw(score, None, status)
        return self._scored(score, status, alpha, fdr)

    def _encoding(self, rows: Array) -> Arrays:
        out = self.model.encode(rows)
        return out.z, out.status

    def _reconstructing(self, rows: Array) -> Arrays:
        out = self.model.reconstruct(rows)
        return out.x, out.error, out.status

    def _decoding(self, rows: Array) -> Arrays:
        out = self.model.decode(rows)
        return out.x, out.status
