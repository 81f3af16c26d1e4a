"""Scores of the calibration rows as a bundle is to have them."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from exported.calibration import Calibration
from exported.trimming import Trimmed, trim


class Calibrated(NamedTuple):
    """The scores, and what is told of those that were left out.

    Attributes:
        calibration: Of the rows that stayed.
        trimmed: None where none was to go.
    """

    calibration: Calibration
    trimmed: Trimmed | None

    @classmethod
    def of(cls, scores: NDArray[np.float64], share: float) -> Self:
        """Leave a share of the lowest out; see :func:`exported.trimming.trim`.

        Raises:
            ValueError: If there are none, or one is NaN.
        """
        kept, trimmed = trim(scores, share)
        return cls(Calibration.of(scores[kept]), trimmed)
