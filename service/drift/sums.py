"""What is known of many rows without them: sums, which add up over blocks and over replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from exported.latents import POWERS, LatentMoments, Scale
from service.loaded import Loaded
from service.results import NON_FINITE_INPUT, NOT_CONVERGED, OK, Codes, Floats
from service.status import all_ok

BINS = 20
_SCORELESS = (NON_FINITE_INPUT, NOT_CONVERGED)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Of rows that were scored.

    Attributes:
        scored: Rows with a score, those out of support among them.
        below: Sum over those of the share of the calibration rows that score lower; of equal
            scores half.
        bins: Shape ``(BINS,)``: those rows by score, between the calibration's quantiles.
        encoded: Rows in support whose latents are looked at.
        powers: Shape ``(3, latents)``; see :meth:`exported.latents.Scale.powers`.
    """

    scored: int
    below: float
    bins: NDArray[np.int64]
    encoded: int
    powers: NDArray[np.float64]

    @classmethod
    def none(cls, latents: int) -> Self:
        """Of no row."""
        return cls(0, 0.0, np.zeros(BINS, np.int64), 0, np.zeros((len(POWERS), latents)))

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.scored + other.scored,
            self.below + other.below,
            self.bins + other.bins,
            self.encoded + other.encoded,
            self.powers + other.powers,
        )


class Ordinary:
    """The calibration rows of a model, against which others are held.

    Rows that were trimmed are ordinary here: a stream has as many of them as the calibration had.
    Of their scores it is only known that none is over the lowest that stayed, so scores under that
    one count as equal to it, in a stream as well.

    Args:
        model: Of any kind; only flows have latents to tell of.

    Attributes:
        sums: Of the calibration rows.
    """

    def __init__(self, model: Loaded) -> None:  # type: ignore[type-arg]  # of any kind
        manifest, moments = model.manifest, model.latents
        trimmed, stayed = manifest.calibration.trimmed, model.calibration.scores
        self._lowest = None if trimmed is None else stayed[0]
        dropped = 0 if trimmed is None else trimmed.rows
        self._scores = np.insert(stayed, 0, np.full(dropped, stayed[0])) if dropped else stayed
        rows = len(self._scores)
        # By how many calibration rows score lower: the bin, and how many score no higher than the
        # next one, which is a row's place from above where its score is equal to that.
        places, edges = np.arange(rows + 1), np.arange(1, BINS) * rows // BINS
        self._bin = np.searchsorted(edges, places, side="left")
        self._up_to_next = np.searchsorted(self._scores, self._scores, side="right")
        self._scale = None if moments is None else Scale.of(manifest.base)
        latents = moments or LatentMoments(0, Sums.none(0).powers)
        (bins,) = self._binned(np.searchsorted(self._scores, self._scores, side="left"), 1)
        self.sums = Sums(rows, 0.5 * rows, bins, latents.rows, latents.sums)

    def of(self, score: Floats, z: Floats | None, status: Codes) -> Sums:
        """Sums over rows.

        Args:
            score: Shape ``(rows,)``, as it is answered.
            z: Shape ``(rows, latents)``; None where there are none to look at.
            status: Shape ``(rows,)``.
        """
        if not all_ok(status):
            z = None if z is None else z[status == OK]
            score = score[~np.isin(status, _SCORELESS)]
        return self._summed(score, z, 1)[0]

    def of_each(self, score: Floats, z: Floats | None, status: Codes, blocks: int) -> list[Sums]:
        """:meth:`of` so many blocks of equally many rows, by few calls for all of them."""
        if all_ok(status):
            return self._summed(score, z, blocks)
        latents = [None] * blocks if z is None else np.split(z, blocks)
        parts = zip(np.split(score, blocks), latents, np.split(status, blocks), strict=True)
        return [self.of(*part) for part in parts]

    def _summed(self, score: Floats, z: Floats | None, blocks: int) -> list[Sums]:
        score = score.astype(np.float64)
        if self._lowest is not None:
            score = np.maximum(score, self._lowest)
        lower = np.searchsorted(self._scores, score, side="left")
        following = np.minimum(lower, len(self._scores) - 1)
        is_tied = self._scores[following] == score
        up_to = np.where(is_tied, self._up_to_next[following], lower)
        below = (lower + up_to).reshape(blocks, -1).sum(axis=1) / (2.0 * len(self._scores))
        rows, bins = len(score) // blocks, self._binned(lower, blocks)
        if self._scale is None or z is None:
            encoded, powers = 0, [0.0 * self.sums.powers] * blocks
        else:
            encoded = len(z) // blocks
            powers = list(self._scale.powers(z.reshape(blocks, encoded, z.shape[1])))
        return [Sums(rows, float(below[i]), bins[i], encoded, powers[i]) for i in range(blocks)]

    def _binned(self, lower: NDArray[np.int64], blocks: int) -> NDArray[np.int64]:
        """Counts of each block, shape ``(blocks, BINS)``."""
        # A score equal to an edge is under it, so that counts up to a bin are those up to an edge.
        places = self._bin[lower].reshape(blocks, -1) + BINS * np.arange(blocks)[:, None]
        return np.bincount(places.ravel(), minlength=BINS * blocks).reshape(blocks, BINS)
