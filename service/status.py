"""Which rows a density can be asked about, and what the others are called instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exported.manifest import Feature
from service.results import NON_FINITE_INPUT, NOT_CONVERGED, OK, OUT_OF_SUPPORT, Codes, Floats

FLOAT32_MAX = float(np.finfo(np.float32).max)
# As the methods of arrays, which cost a small request several times as much.
_ALL, _ANY = partial(np.logical_and.reduce, axis=None), partial(np.logical_or.reduce, axis=None)


@dataclass(frozen=True, slots=True)
class RowRules:
    """The manifest's columns as arrays.

    Attributes:
        low: Shape ``(features,)``, smallest supported values, float32's smallest where open.
        high: Shape ``(features,)``, largest supported values, float32's largest where open.
        median: Shape ``(features,)``, an ordinary row that stands in for those not to be run.
        integer: Shape ``(features,)``, True for columns of whole numbers.
        constant: Shape ``(features,)``, True for columns whose support is one value.
        ends: ``low`` and ``high`` in each type that rows come in.
        bounded: Shape ``(features,)``, True for columns that vary within an end, where decoded
            values may have been moved to.
        has_ends: Whether any column has an end, or is constant.
        has_integers: Whether any column is of whole numbers.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    median: NDArray[np.float64]
    integer: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    ends: Mapping[np.dtype[Any], tuple[Floats, Floats]] = field(init=False)
    bounded: NDArray[np.bool_] = field(init=False)
    has_ends: bool = field(init=False)
    has_integers: bool = field(init=False)

    def __post_init__(self) -> None:
        # What every run asks for. In the rows' own type: a float32 0.1 is not outside [0.1, 0.1].
        kinds = (np.dtype(np.float32), np.dtype(np.float64))
        ends = {kind: (self.low.astype(kind), self.high.astype(kind)) for kind in kinds}
        open_ended = (self.low == -FLOAT32_MAX) & (self.high == FLOAT32_MAX)
        object.__setattr__(self, "ends", ends)
        object.__setattr__(self, "bounded", ~open_ended & ~self.constant)
        object.__setattr__(self, "has_ends", not open_ended.all())
        object.__setattr__(self, "has_integers", bool(self.integer.any()))

    @classmethod
    def of(cls, features: tuple[Feature, ...]) -> RowRules:
        """The rules of a manifest's features."""
        integer = np.array([f.kind == "integer" for f in features], dtype=np.bool_)
        constant = np.array([f.role == "constant" for f in features], dtype=np.bool_)
        low = np.array([-np.inf if f.support[0] is None else f.support[0] for f in features])
        high = np.array([np.inf if f.support[1] is None else f.support[1] for f in features])
        # The graphs compute in float32; a value beyond it has no density that they could tell.
        low, high = np.maximum(low, -FLOAT32_MAX), np.minimum(high, FLOAT32_MAX)
        median = np.array([f.median for f in features])
        return cls(low, high, median, integer, constant)

    def judge(self, x: Floats) -> Codes:
        """Status of each row, shape ``(rows,)``, before any graph has seen it."""
        inside = self.inside(x)
        if _ALL(inside):  # the ends are finite, so the rows are too
            return np.zeros(len(x), np.uint8)
        status = np.where(inside.all(axis=1), OK, OUT_OF_SUPPORT)
        finite = np.isfinite(x).all(axis=1)
        return np.where(finite, status, NON_FINITE_INPUT).astype(np.uint8)

    def inside(self, x: Floats) -> NDArray[np.bool_]:
        """Which values are in support, shape ``(rows, features)``; one that is NaN is not."""
        inside = self._within_ends(x)
        if self.has_integers:
            with np.errstate(invalid="ignore"):  # of NaN there is no floor
                inside &= ~self.integer | (x == np.floor(x))
        return inside

    def _within_ends(self, x: Floats) -> NDArray[np.bool_]:
        if not self.has_ends and x.dtype == np.float32:  # what is finite is no larger
            return np.isfinite(x)
        low, high = self.ends[x.dtype]
        return np.asarray((x >= low) & (x <= high))

    def widened(self, x: Floats) -> Floats:
        """Rows that may share a run with float64 rows and be judged as they are alone.

        A float32 row at the float32 nearest to an end of the support is meant to be at that end.
        """
        if x.dtype != np.float32 or not self.has_ends:
            return x
        for ends in (self.low, self.high):
            x = np.where(x == ends.astype(np.float32), ends, x)
        return x

    def runnable(self, x: Floats, status: Codes) -> Floats:
        """The rows with every one that must not be run replaced by an ordinary row."""
        if all_ok(status):
            return x
        return np.where((status == OK)[:, None], x, self.median)

    def exact(self, x: Floats) -> Floats:
        """Decoded rows with the very value of each constant; float64 if there are any.

        The float32 nearest to a constant can be out of the constant's own support.
        """
        return np.where(self.constant, self.low, x) if self.constant.any() else x

    def round(self, x: Floats) -> Floats:
        """Whole numbers in integer columns, halves up: the cell of the dequantised value.

        The upper edge of the last cell in support belongs to that cell.
        """
        if not self.has_integers:
            return x
        whole = np.where(x == self.high + 0.5, self.high, np.floor(x + 0.5))
        return np.where(self.integer, whole, x).astype(x.dtype)

    def whole(self, x: Floats) -> Floats:
        """Drawn rows as a table would hold them: integer columns whole and in their support."""
        if not self.has_integers:
            return x
        whole = np.clip(np.floor(x + 0.5), self.low, self.high)
        return np.where(self.integer, whole, x).astype(x.dtype)


def settle(status: Codes, *outputs: Floats) -> Codes:
    """Status after the graphs have run: an ok row with a non-finite output has not converged."""
    for output in outputs:
        if not _ALL(np.isfinite(output)):
            break
    else:  # nearly always
        return status
    rows = [np.isfinite(one).all(axis=tuple(range(1, one.ndim))) for one in outputs]
    finite = np.all(rows, axis=0)
    return np.where((status == OK) & ~finite, NOT_CONVERGED, status).astype(np.uint8)


def mask(values: Floats, status: Codes) -> Floats:
    """Values with NaN in every row whose status is not ok."""
    if all_ok(status):
        return values
    keep = (status == OK).reshape(-1, *[1] * (values.ndim - 1))
    return np.where(keep, values, np.asarray(np.nan, values.dtype))


def mask_score(score: Floats, status: Codes) -> Floats:
    """Log-densities, or what stands for them: -inf out of support, NaN without an answer."""
    if all_ok(status):
        return score
    masked = mask(score, status)
    return np.where(status == OUT_OF_SUPPORT, np.asarray(-np.inf, masked.dtype), masked)


def all_ok(status: Codes) -> bool:
    """Whether there is an answer for every row, as there is for nearly all."""
    return not _ANY(status)  # OK is 0
