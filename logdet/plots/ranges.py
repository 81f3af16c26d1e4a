"""Where an axis begins and ends, and where its bins and grid points are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exported.manifest import Feature
from logdet.plots.scene import Scene

_TAIL = 0.001  # share of rows left out at each end, so that one far row does not squash the rest
_MARGIN = 0.08  # of the width, added at each end
Floats = NDArray[np.float64]


def span(scene: Scene, axis: int) -> tuple[float, float]:
    """The part of a column that is shown: nearly all samples and rows of the file."""
    parts = [points.x[:, axis] for points in (scene.samples, scene.data) if points is not None]
    ends = np.array([np.quantile(part.astype(np.float64), [_TAIL, 1.0 - _TAIL]) for part in parts])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    feature = scene.feature(axis)
    if feature.kind == "integer":
        return math.floor(low) - 0.5, math.ceil(high) + 0.5
    margin = _MARGIN * (high - low) or 0.5 * max(abs(low), 1.0)
    return _supported(feature, low - margin, high + margin)


def edges(feature: Feature, ends: tuple[float, float], bins: int) -> Floats:
    """Ends of about so many bins; those of whole numbers hold as many whole numbers each."""
    low, high = ends
    if feature.kind != "integer":
        return np.linspace(low, high, bins + 1)
    width = math.ceil((high - low) / bins)
    count = math.ceil((high - low) / width)
    return low + width * np.arange(count + 1.0)


def grid(feature: Feature, ends: tuple[float, float], points: int) -> Floats:
    """At most so many points between the ends; whole numbers where others have no density."""
    low, high = ends
    if feature.kind != "integer":
        return np.linspace(low, high, points)
    first, last = _supported(feature, math.ceil(low), math.floor(high))
    return np.unique(np.round(np.linspace(first, last, points)))


def _supported(feature: Feature, low: float, high: float) -> tuple[float, float]:
    first, last = feature.support
    return (low if first is None else max(low, first), high if last is None else min(high, last))
