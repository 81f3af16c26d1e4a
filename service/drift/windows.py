"""The last rows of a stream, in windows of several lengths, of which only sums are kept.

A window is made of :data:`QUARTERS` blocks and moves on by one of them; four blocks make one of
the next longer window's, ten times as long but for the remainder, so that what is kept does not
grow with the windows.
"""

from __future__ import annotations

from collections import deque

from service.drift.sums import Sums

BLOCK_ROWS = 250
QUARTERS = 4
LENGTHS = (1_000, 10_000, 100_000)
# Looks at any window in this many rows.
PER_ROWS = 1_000_000
LOOKS = sum(PER_ROWS * QUARTERS // length for length in LENGTHS)


class Windows:
    """The last rows of one stream.

    Args:
        latents: That are looked at.
    """

    def __init__(self, latents: int) -> None:
        self._none = Sums.none(latents)
        self._blocks: list[deque[Sums]] = [deque(maxlen=QUARTERS) for _ in LENGTHS]
        self._begun = [self._none for _ in LENGTHS]
        self._rows = [0 for _ in LENGTHS]

    def add(self, block: Sums) -> list[int]:
        """Move on by a block of :data:`BLOCK_ROWS` rows; places of the windows that moved."""
        moved = []
        for place, length in enumerate(LENGTHS):
            self._begun[place] += block
            self._rows[place] += BLOCK_ROWS
            if self._rows[place] == length // QUARTERS:
                self._blocks[place].append(self._begun[place])
                self._begun[place], self._rows[place] = self._none, 0
                moved.append(place)
        return moved

    def sums(self, place: int) -> Sums:
        """Of a window; of as many rows as there are yet."""
        return sum(self._blocks[place], self._none)
