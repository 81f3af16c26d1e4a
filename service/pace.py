"""How long the runs of a lane take, as far as they were seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# Weights of the newest run in the memory: a run that took long says little of the next one (the
# machine may have paused), one that was short says that it can be.
_SLOWER, _FASTER = 0.1, 0.5


@dataclass(slots=True, eq=False)
class Pace:
    """Remembers seconds a row of runs, by the size of the run to a power of two."""

    _row_seconds: dict[int, float] = field(default_factory=dict)

    def ran(self, rows: int, seconds: float) -> None:
        """Remember a run of some rows."""
        size, now = rows.bit_length(), seconds / rows
        before = self._row_seconds.get(size, now)
        self._row_seconds[size] = before + (_FASTER if now < before else _SLOWER) * (now - before)

    def run_seconds(self, rows: int) -> float:
        """How long a run of about so many rows takes; infinite if there was none."""
        return rows * self._row_seconds.get(rows.bit_length(), math.inf)

    def row_seconds(self) -> float:
        """What a row adds to the longest runs there were; 0 before any."""
        return self._row_seconds[max(self._row_seconds)] if self._row_seconds else 0.0
