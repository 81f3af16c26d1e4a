"""What each column is, decided from the training rows and said aloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.bounds import Interval, interval, refuse_outside
from training.recipes import Ends
from training.table import Rows, refuse_unknown

# Correlation beyond which two columns carry one number between them.
COLLINEAR = 0.99999
# Share of rows on one end of a column's range that suggests a bound or a censored sensor.
PILE_UP = 0.05
# A column that never goes below zero but comes this near to it, in scales, has a bound there.
NEAR_ZERO = 0.1
# A share or probability comes this near to both of its ends.
NEAR_EDGE = 0.05
# An interquartile range under this share of the deviation is a spike with outliers, not a scale.
MIN_SPREAD_OF_DEVIATION = 0.02
NORMAL_INTERQUARTILE_RANGE = 1.349
# Candidates for the tightness of the arcsinh tails, in units of one over the robust scale.
TIGHTNESS = (0.01, 0.1, 0.3, 1.0, 3.0)
# Graphs compute in float32, and the square of a value must fit float64.
MAX_SIZE = float(np.finfo(np.float32).max)
# Float32 inputs keep enough digits while the offset is under this many scales.
MAX_FLOAT32_OFFSET = 1e4
# Float32 holds every whole number up to this one.
MAX_FLOAT32_INTEGER = 2**24


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the training rows.

    Attributes:
        name: From the header.
        kind: ``integer`` when every value is whole, unless declared otherwise.
        constant: True when only one value occurs; such a column is checked, not modelled.
        low: Smallest training value.
        high: Largest training value.
        centre: Median.
        scale: Robust deviation, in the user's unit.
        tightness: Of the arcsinh tails after scaling, the most likely under a normal marginal.
        deviation: Standard deviation, in the user's unit; for standardised nats.
        notes: Remarks for the user.
        interval: Its declared range; None without.
        opened: Median and robust deviation of the values outside of that range's map, on which
            the tightness was decided; of the raw values without one.
    """

    name: str
    kind: str
    constant: bool
    low: float
    high: float
    centre: float
    scale: float
    tightness: float
    deviation: float
    notes: tuple[str, ...]
    interval: Interval | None = None
    opened: tuple[float, float] = (0.0, 1.0)

    @property
    def units(self) -> tuple[float, float]:
        """What becomes 0 and 1 in the first step of the preprocessing, in the user's unit."""
        if self.interval is None:
            return self.centre, self.scale
        return self.interval.centre, self.interval.scale

    @property
    def edges(self) -> tuple[float, float]:
        """Where the density ends, infinite where open."""
        return (-np.inf, np.inf) if self.interval is None else self.interval.edges


@dataclass(frozen=True, slots=True)
class Columns:
    """All columns of a table.

    Attributes:
        all: In the table's order.
    """

    all: tuple[Column, ...]

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that take part in the density."""
        return tuple(column for column in self.all if not column.constant)

    @property
    def modelled_index(self) -> list[int]:
        """Positions of the modelled columns."""
        return [i for i, column in enumerate(self.all) if not column.constant]

    def needs_float64_input(self) -> bool:
        """Whether float32 would lose digits of some column."""
        return any(
            abs(c.centre) > MAX_FLOAT32_OFFSET * c.scale
            or (c.kind == "integer" and max(abs(c.low), abs(c.high)) > MAX_FLOAT32_INTEGER)
            or not (c.interval is None or c.interval.fits_float32())
            for c in self.modelled
        )

    def dtype(self) -> type[np.float32] | type[np.float64]:
        """Of rows as an exported graph takes them."""
        return np.float64 if self.needs_float64_input() else np.float32

    def in_support(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of ``(rows, columns)`` the service would score.

        Constants are kept, whole numbers whole, and bounded columns within their bounds.
        """
        constant = np.array([c.constant for c in self.all], dtype=np.bool_)
        integer = np.array([c.kind == "integer" for c in self.all], dtype=np.bool_)
        kept = rows == np.array([c.low for c in self.all])
        whole = rows == np.rint(rows)
        inside = (rows >= self.edges[0]) & (rows <= self.edges[1])
        return np.asarray(np.all((kept | ~constant) & (whole | ~integer) & inside, axis=1))

    @property
    def edges(self) -> Rows:
        """Where each column's density ends, infinite where open; shape ``(2, columns)``."""
        return np.array([c.edges for c in self.all]).reshape(-1, 2).T

    def emitted(self, rows: Rows) -> Rows:
        """Decoded rows as a table would hold them: whole numbers whole, and all within bounds."""
        integer = np.array([c.kind == "integer" for c in self.all], dtype=np.bool_)
        low, high = self.edges + np.array([[0.5], [-0.5]]) * integer
        return np.clip(np.where(integer, np.floor(rows + 0.5), rows), low, high)

    def refuse_out_of_bounds(self, rows: Rows) -> None:
        """Check rows that must have a density against the declared bounds.

        Raises:
            ValueError: Naming the column and the value.
        """
        for column, values in zip(self.all, rows.T, strict=True):
            if column.interval is not None and len(values):
                refuse_outside(column.name, values, (column.interval.low, column.interval.high))

    def log_deviation(self) -> float:
        """Sum of log deviations: adds to nats in the user's units to give standardised nats."""
        return float(sum(np.log(c.deviation) for c in self.modelled))

    def dequantise(self, rows: Rows, generator: np.random.Generator) -> Rows:
        """Spread whole numbers uniformly over their cells ``[k - 1/2, k + 1/2)``."""
        integer = np.array([c.kind == "integer" and not c.constant for c in self.all])
        noise: Rows = (generator.random(rows.shape) - 0.5) * integer
        return rows + noise


def describe_columns(
    names: tuple[str, ...],
    train: Rows,
    continuous: frozenset[str],
    bounds: Mapping[str, Ends] | None = None,
) -> Columns:
    """Decide kind, scale and tails of every column.

    Args:
        names: Column names.
        train: Training rows, shape ``(rows, columns)``.
        continuous: Columns declared continuous although all their values are whole.
        bounds: Declared ranges by column; an end that is None is open. None where the model has
            no use for any, and nobody is told to declare one.

    Raises:
        ValueError: If a declared column does not exist, a value is beyond float32 or its bounds,
            or no column varies.
    """
    declared = bounds or {}
    refuse_unknown(continuous, names, "declared continuous but")
    refuse_unknown(declared, names, "given bounds but")
    huge = [n for n, size in zip(names, np.abs(train).max(axis=0), strict=True) if size > MAX_SIZE]
    if huge:
        raise ValueError(f"expected values up to {MAX_SIZE:.2g}, got larger ones in {huge[0]!r}")
    notes = _collinear_notes(names, train)
    described = tuple(
        _describe(name, train[:, i], name in continuous, declared.get(name), notes.get(name, ()))
        for i, name in enumerate(names)
    )
    if bounds is not None:
        described = tuple(
            replace(column, notes=column.notes + _bound_notes(column, train[:, i]))
            for i, column in enumerate(described)
        )
    if all(column.constant for column in described):
        raise ValueError("expected at least one column that varies, all are constant")
    return Columns(described)


def _describe(
    name: str,
    values: NDArray[np.float64],
    continuous: bool,
    bounds: Ends | None,
    notes: tuple[str, ...],
) -> Column:
    low, high = float(values.min()), float(values.max())
    kind = "continuous" if continuous or not np.all(values == np.rint(values)) else "integer"
    if low == high:
        note = "constant: not modelled, a changed value is out of support"
        return Column(name, kind, True, low, high, low, 1.0, 1.0, 1.0, (note,))
    centre = float(np.median(values))
    # A whole number stands for a cell of width one, whose own variance is 1/12.
    deviation = float(np.sqrt(values.var() + (1 / 12 if kind == "integer" else 0.0)))
    scale = _robust_scale(values, deviation, 1.0 if kind == "integer" else 0.0)
    ends = None if bounds is None else interval(name, values, kind, bounds)
    opened, middle = (centre, scale), values
    if ends is not None:
        middle = ends.opened(values)
        opened = float(np.median(middle)), _robust_scale(middle, float(middle.std()), 0.0)
        notes += (str(ends),)
    tightness = _likeliest_tightness((middle - opened[0]) / opened[1])
    return Column(
        name, kind, False, low, high, centre, scale, tightness, deviation, notes, ends, opened
    )


def _robust_scale(values: NDArray[np.float64], deviation: float, least: float) -> float:
    lower, upper = np.percentile(values, (25, 75))
    spread = float(upper - lower) / NORMAL_INTERQUARTILE_RANGE
    floor = MIN_SPREAD_OF_DEVIATION * deviation
    return min(max(spread, floor, least), max(deviation, floor))


def _bound_notes(column: Column, values: NDArray[np.float64]) -> tuple[str, ...]:
    """What suggests that a column has an end which nobody declared."""
    if column.constant or column.kind != "continuous" or column.interval is not None:
        return ()
    name, low, high = column.name, column.low, column.high
    notes = [
        f"{share:.0%} of the rows at the {end} end, {edge:g}"
        for end, edge in (("low", low), ("high", high))
        if (share := float(np.mean(values == edge))) > PILE_UP
    ]
    if 0.0 <= low <= NEAR_EDGE and 1.0 - NEAR_EDGE <= high <= 1.0:
        notes.append(f"bounded by 0 and 1, modelled as open (bounds: {{{name}: [0, 1]}})")
    elif 0.0 <= low < NEAR_ZERO * column.scale:
        notes.append(f"bounded below by 0, modelled as open (bounds: {{{name}: [0, null]}})")
    return tuple(notes)


def _likeliest_tightness(scaled: NDArray[np.float64]) -> float:
    """Profile likelihood of a normal marginal, as Box and Cox choose powers."""

    def log_likelihood(tightness: float) -> float:
        bent = np.arcsinh(scaled * tightness) / tightness
        slope = -0.5 * np.log1p((scaled * tightness) ** 2)
        return float(slope.mean() - np.log(bent.std()))

    return max(TIGHTNESS, key=log_likelihood)


def _collinear_notes(names: tuple[str, ...], train: Rows) -> dict[str, tuple[str, ...]]:
    varying = np.flatnonzero(train.min(axis=0) != train.max(axis=0))
    if len(varying) < 2:
        return {}
    correlation = np.atleast_2d(np.corrcoef(train[:, varying], rowvar=False))
    notes: dict[str, tuple[str, ...]] = {}
    for later, earlier in np.argwhere(np.tril(np.abs(correlation) > COLLINEAR, -1)):
        text = f"collinear with {names[varying[earlier]]}: carries no information of its own"
        notes.setdefault(names[varying[later]], (text,))
    return notes
