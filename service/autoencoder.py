"""One loaded autoencoder, answering in the calling thread; see :mod:`service.model`."""

from __future__ import annotations

from dataclasses import dataclass

from exported.kinds import AutoencoderManifest
from service.latent import LatentModel
from service.results import Codes, Encoded, Floats, Reconstructed
from service.status import mask, mask_score, settle


@dataclass(frozen=True, slots=True)
class Autoencoder(LatentModel[AutoencoderManifest]):
    """An autoencoder whose graphs run here."""

    def encode(self, x: Floats) -> Encoded:
        """Latents of rows ``(rows, features)``, in the user's units; any float."""
        before = self.rules.judge(x)
        z = self.run("encode", {"x": self.rules.runnable(x, before)}, {})["z"]
        status = settle(before, z)
        return Encoded(mask(z, status), status)

    def reconstruct(self, x: Floats) -> Reconstructed:
        """Rows ``(rows, features)`` as they come back, and how far off."""
        return self.come_back(x, {})

    def score(self, x: Floats) -> tuple[Floats, Codes]:
        """Scores and status of rows ``(rows, features)``: the error with its sign turned."""
        back = self.reconstruct(x)
        return mask_score(-back.error, back.status), back.status
