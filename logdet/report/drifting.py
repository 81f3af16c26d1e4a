"""Drift along a file: the windows that the service keeps of a stream, and all rows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.drift.difference import Difference, number_of_tests
from service.drift.sketch import Level
from service.drift.sums import Ordinary, Sums
from service.drift.windows import BLOCK_ROWS, LENGTHS, Windows
from service.kinds import AnyModel
from service.results import Codes, Floats

# False alarms of the windows in a million rows, as the service has it, and of all rows at once.
RATE = 0.01


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether rows are like the calibration rows.

    Attributes:
        whole: All rows of the file.
        ordinary: The calibration rows.
        found: How the two differ.
        alarmed: Of each :data:`BLOCK_ROWS` rows, whether a window that ends there raises an alarm.
    """

    whole: Sums
    ordinary: Sums
    found: Difference
    alarmed: tuple[bool, ...]

    @property
    def corrected_p_value(self) -> float:
        """Of all rows, for as many tests as there are of them."""
        return self.corrected(self.found.smallest_p)

    @property
    def first_alarm(self) -> int | None:
        """Rows after which a window first raises an alarm; None where none does."""
        if not any(self.alarmed):
            return None
        return BLOCK_ROWS * (1 + self.alarmed.index(True))

    @property
    def is_drift(self) -> bool:
        """Whether either the windows or all rows at once differ by more than chance."""
        return any(self.alarmed) or self.corrected_p_value <= RATE

    def corrected(self, p_value: float) -> float:
        """For all tests of all rows at once."""
        return min(1.0, p_value * number_of_tests(self.found.latents.shape[1]))


class Trail:
    """Follows the rows of a file.

    Args:
        model: Of any kind; only flows have latents to look at.
    """

    def __init__(self, model: AnyModel) -> None:
        self._ordinary = Ordinary(model)
        latents = self._ordinary.sums.powers.shape[1]
        self._has_latents = latents > 0
        self._level = Level.of(RATE, latents)
        self._windows, self._whole = Windows(latents), Sums.none(latents)
        self._is_alarmed = [False for _ in LENGTHS]
        self._alarmed: list[bool] = []
        self._rest: tuple[Floats, Floats | None, Codes] | None = None

    def add(self, score: Floats, z: Floats | None, status: Codes) -> None:
        """The next rows; see :class:`service.drift.sketch.Sketch`."""
        z = z if self._has_latents else None
        if self._rest is not None:
            before, latents, statuses = self._rest
            score, status = np.concatenate([before, score]), np.concatenate([statuses, status])
            if z is not None and latents is not None:
                z = np.concatenate([latents, z])
        whole = len(status) - len(status) % BLOCK_ROWS
        for start in range(0, whole, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            self._look(self._sums(score, z, status, rows))
        rest = slice(whole, None)
        self._rest = score[rest], None if z is None else z[rest], status[rest]

    def end(self) -> Drift:
        """What is found; the last rows, too few for a window, count among all rows."""
        if self._rest is not None:
            self._whole += self._sums(*self._rest, slice(None))
        ordinary = self._ordinary.sums
        found = Difference.of(self._whole, ordinary)
        return Drift(self._whole, ordinary, found, tuple(self._alarmed))

    def _sums(self, score: Floats, z: Floats | None, status: Codes, rows: slice) -> Sums:
        return self._ordinary.of(score[rows], None if z is None else z[rows], status[rows])

    def _look(self, block: Sums) -> None:
        self._whole += block
        for place in self._windows.add(block):
            found = Difference.of(self._windows.sums(place), self._ordinary.sums)
            self._is_alarmed[place] = found.smallest_p <= self._level.p_value
        self._alarmed.append(any(self._is_alarmed))
