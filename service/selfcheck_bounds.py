"""What a flow's answers may be off by, and the answers of which that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from exported.kinds import REFERENCE_GRAPH
from exported.manifest import Feature
from service.loaded import DEFAULT_ALPHA
from service.model import Model
from service.results import Floats

# ``log_prob``: difference from float64, nats. ``round_trip``: |decode(encode(x)) - x|, deviations.
Quantity = Literal["log_prob", "round_trip"]

# The manifest tells the largest error among the rows that export measured. One row in as many is
# beyond that by chance, so a bound leaves the room that the tolerance of golden rows has.
ROOM = 4.0
# Smallest bound on a round trip, deviations: golden rows of decode may be off by as much.
LEAST_ROUND_TRIP = 1e-4


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one model.

    A row counts when its log-density is that of an ordinary row: no anomaly at the default rate,
    and not above all calibration rows. Errors grow with the distance from the data, the bounds
    were measured on rows like the data, and what callers send may be anything.

    Attributes:
        low: Smallest log-density that counts, nats.
        high: Largest, nats.
        largest: Bound on each quantity that can be computed.
    """

    low: float
    high: float
    largest: Mapping[Quantity, float]

    def ordinary(self, score: Floats) -> int:
        """How many of these log-densities count; those of rows without an answer never do."""
        if len(score) == 1:  # what is asked most often, and takes numpy ten times as long
            return int(self.low <= score.item() <= self.high)
        return int(np.count_nonzero((score >= self.low) & (score <= self.high)))

    def places(self, score: Floats) -> NDArray[np.intp]:
        """Which of these log-densities count."""
        return np.flatnonzero((score >= self.low) & (score <= self.high))

    @classmethod
    def of(cls, model: Model) -> Self:
        """Those of a model; no row counts where no calibration row is in support."""
        calibration = model.calibration
        threshold = calibration.threshold(max(DEFAULT_ALPHA, calibration.smallest_alpha))
        finite = calibration.scores[np.isfinite(calibration.scores)]
        if not len(finite):
            return cls(np.inf, -np.inf, {})
        low, high = max(threshold, float(finite[0])), float(finite[-1])
        return cls(low, high, _largest(model, max(abs(low), abs(high))))


def _largest(model: Model, score: float) -> dict[Quantity, float]:
    manifest = model.manifest
    found: dict[Quantity, float] = {}
    if REFERENCE_GRAPH in model.graphs:
        outputs = manifest.graphs["log_prob"].outputs
        allowed = next(t.tolerance for t in outputs if t.name == "log_prob")
        found["log_prob"] = float(np.max(allowed.absolute)) + allowed.relative * score
    if "decode" in manifest.operations:
        measured = manifest.accuracy.round_trip_error.max
        found["round_trip"] = max(ROOM * measured, LEAST_ROUND_TRIP)
    return found


def deviations(features: tuple[Feature, ...]) -> Floats:
    """Standard deviation of each modelled feature, in the user's unit.

    Half of the training range stands in for one that the manifest does not tell: no deviation is
    larger, so that a round trip is never called further off than it is.
    """
    return np.array([_deviation(feature) for feature in features if feature.role == "modelled"])


def _deviation(feature: Feature) -> float:
    low, high = feature.training_range
    return feature.deviation or 0.5 * (high - low) or np.inf
