"""Columns that a recipe says end somewhere, and the units in which they are opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.bijections import Bijection, Bounded, Standardise
from training.recipes import Ends

Values = NDArray[np.float64]

# A column with an end gets at least this share of its mean distance from the end as its unit,
# where more than half of its values lie on the end.
MIN_UNIT = 0.02
# Float32 inputs tell values apart well within the squeeze of the ends while these are not further
# from nought than this many units.
MAX_FLOAT32_ENDS = 16.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A column's declared range.

    Attributes:
        low: Smallest value in support; None where open.
        high: Largest value in support; None where open.
        margin: By which the density reaches beyond both: half a cell of a whole number, or 0.
        centre: What becomes 0: the middle of two ends, or the only one. In the user's unit.
        scale: What becomes 1: half of the range, or the median distance from the only end.
    """

    low: float | None
    high: float | None
    margin: float
    centre: float
    scale: float

    @property
    def edges(self) -> tuple[float, float]:
        """Where the density ends, infinite where open."""
        low = -np.inf if self.low is None else self.low - self.margin
        high = np.inf if self.high is None else self.high + self.margin
        return low, high

    def opened(self, values: Values) -> Values:
        """Values on the whole line, as the flow's first layers map them."""
        scaled = torch.from_numpy((values - self.centre) / self.scale).reshape(-1, 1)
        return np.asarray(_bounded([self]).encode(scaled)[0].reshape(-1).numpy())

    def fits_float32(self) -> bool:
        """Whether float32 keeps the distance of a value from an end."""
        ends = [end for end in (self.low, self.high) if end is not None]
        return max(map(abs, ends)) <= MAX_FLOAT32_ENDS * self.scale

    def __str__(self) -> str:
        low, high = ("open" if end is None else f"{end:g}" for end in (self.low, self.high))
        return f"bounds {low} to {high}"


def interval(name: str, values: Values, kind: str, ends: Ends) -> Interval:
    """The range of a column and its units.

    Args:
        name: Of the column, for messages.
        values: In training.
        kind: Whole numbers, ``integer``, stand for cells that reach half a unit further.
        ends: As declared; at least one is a number.

    Raises:
        ValueError: If a value lies outside, or an end of whole numbers is not whole.
    """
    refuse_outside(name, values, ends)
    margin = 0.5 if kind == "integer" else 0.0
    if margin and any(end is not None and end != round(end) for end in ends):
        raise ValueError(f"expected whole bounds of the whole numbers {name!r}, got {list(ends)}")
    low, high = ends
    if low is not None and high is not None:
        centre, scale = 0.5 * (low + high), 0.5 * (high - low) + margin
        return Interval(low, high, margin, centre, scale)
    centre = low - margin if low is not None else (high or 0.0) + margin
    distances = np.abs(values - centre)
    scale = max(float(np.median(distances)), MIN_UNIT * float(distances.mean()))
    return Interval(low, high, margin, centre, scale)


def refuse_outside(name: str, values: Values, ends: Ends) -> None:
    """Check that all values are within the ends.

    Raises:
        ValueError: Naming the column and the worst value.
    """
    low, high = ends
    for end, worst, beyond in ((low, values.min(), -1.0), (high, values.max(), 1.0)):
        if end is not None and beyond * (float(worst) - end) > 0:
            side = "below" if beyond < 0 else "above"
            raise ValueError(f"column {name!r} has the value {worst:g}, {side} its bound {end:g}")


def opening(
    intervals: Sequence[Interval | None], centres: Values, scales: Values
) -> list[Bijection]:
    """The layers between the user's units and the tails; none where every column is open.

    Args:
        intervals: Of each modelled column.
        centres: Of each column's opened values; ignored where it was open already.
        scales: The same.
    """
    if not any(intervals):
        return []
    open_already = np.array([interval is None for interval in intervals])
    centre = torch.from_numpy(np.where(open_already, 0.0, centres))
    scale = torch.from_numpy(np.where(open_already, 1.0, scales))
    return [_bounded(intervals), Standardise(centre, scale)]


def _bounded(intervals: Sequence[Interval | None]) -> Bounded:
    lower = [interval is not None and interval.low is not None for interval in intervals]
    upper = [interval is not None and interval.high is not None for interval in intervals]
    return Bounded(torch.tensor(lower), torch.tensor(upper))
