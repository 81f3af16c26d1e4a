"""Scores of the calibration rows as a bundle is to have them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from exported.calibration import Calibration
from exported.calibration_file import described, write
from exported.calibration_summary import ReferenceSummary
from exported.latents import LatentMoments
from exported.scores import Reference
from exported.trimming import Trimmed, trim

_NONE: Mapping[str, Calibration] = MappingProxyType({})


class Calibrated(NamedTuple):
    """The scores, and what is told of those that were left out.

    Attributes:
        calibration: Of the rows that stayed.
        trimmed: None where none was to go.
        beside: Of other scores of the same rows, by name.
        reference: What these are made with, and how many rows that is of; None where they need
            none.
        latents: Of every row in support, those left out too; of a flow.
    """

    calibration: Calibration
    trimmed: Trimmed | None
    beside: Mapping[str, Calibration] = _NONE
    reference: tuple[Reference, int] | None = None
    latents: LatentMoments | None = None

    @classmethod
    def of(
        cls,
        scores: NDArray[np.float64],
        share: float,
        beside: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
        reference: tuple[Reference, int] | None = None,
        latents: LatentMoments | None = None,
    ) -> Self:
        """Leave a share of the lowest out; see :func:`exported.trimming.trim`.

        Raises:
            ValueError: If there are none, or one is NaN.
        """
        kept, trimmed = trim(scores, share)
        others = {name: Calibration.of(values[kept]) for name, values in beside.items()}
        return cls(Calibration.of(scores[kept]), trimmed, others, reference, latents)

    def content(self, first: str) -> bytes:
        """The bundle's file, in which the first scores are called so."""
        reference = None if self.reference is None else self.reference[0]
        return write({first: self.calibration, **self.beside}, reference, self.latents)

    def described(self) -> dict[str, Any]:
        """What the manifest tells of it, without the file."""
        told = described(self.calibration, self.beside, self.trimmed, self.latents)
        if self.reference is not None:
            reference, rows = self.reference
            told["reference"] = ReferenceSummary(rows=rows, mean_log_prob=reference.mean_log_prob)
        return told
