"""Medians and ranges over the rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from tests.bench.cells import Cell, Figures, Place

Figure = Callable[[Figures], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure in several rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """The median and the range, to three digits."""
        return f"{short(self.median)} [{short(self.low)}–{short(self.high)}]"


class Medians:
    """Figures of every place, over the rounds that have them.

    Args:
        cells: Of all rounds.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._figures: dict[Place, list[Figures]] = {}
        self.failures: dict[Place, str] = {}
        for cell in cells:
            if cell.figures is not None:
                self._figures.setdefault(cell.place, []).append(cell.figures)
            else:
                self.failures[cell.place] = cell.failure

    @property
    def places(self) -> list[Place]:
        """That have figures, in the order in which they were measured."""
        return list(self._figures)

    def of(self, place: Place, figure: Figure) -> Spread | None:
        """A figure at a place; None where it was not measured."""
        values = [figure(one) for one in self._figures.get(place, ())]
        return Spread(median(values), min(values), max(values)) if values else None

    def most(self, figure: Figure) -> float:
        """The largest of all places and rounds; 0 without any."""
        return max((figure(one) for all_ in self._figures.values() for one in all_), default=0.0)


def short(value: float) -> str:
    """A positive number with three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
