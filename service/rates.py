"""How often something may be done: a bucket that fills at a steady rate."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rate:
    """So many times a second, and as many at once as a second allows.

    Args:
        per_second: At least 1, so that a second's wait is always enough.
        clock: Seconds that never go back.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._left, self._at = per_second, clock()

    def take(self) -> bool:
        """Whether it may be done now; if so, that is counted."""
        now = self._clock()
        filled = self._left + (now - self._at) * self._per_second
        self._left, self._at = min(self._per_second, filled), now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
