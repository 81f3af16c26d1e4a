"""Scores of the calibration rows as a bundle is to have them."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from exported.calibration import Calibration
from exported.latents import LatentMoments
from exported.trimming import Trimmed, trim


class Calibrated(NamedTuple):
    """The scores, and what is told of those that were left out.

    Attributes:
        calibration: Of the rows that stayed.
        trimmed: None where none was to go.
        latents: Of every row in support, those left out too; of a flow.
    """

    calibration: Calibration
    trimmed: Trimmed | None
    latents: LatentMoments | None = None

    @classmethod
    def of(
        cls, scores: NDArray[np.float64], share: float, latents: LatentMoments | None = None
    ) -> Self:
        """Leave a share of the lowest out; see :func:`exported.trimming.trim`.

        Raises:
            ValueError: If there are none, or one is NaN.
        """
        kept, trimmed = trim(scores, share)
        return cls(Calibration.of(scores[kept]), trimmed, latents)

    def arrays(self, name: str) -> dict[str, NDArray[np.float64]]:
        """What ``calibration.npz`` has; the scores under their name."""
        moments = {} if self.latents is None else self.latents.arrays()
        return {name: self.calibration.scores, **moments}
