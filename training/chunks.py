"""How many rows are worked on at once."""

from __future__ import annotations

MOST_ROWS = 8192
# Numbers in the rows of one chunk. A convolution of images holds a hundred times as many.
MOST_NUMBERS = 2**19


def rows_at_once(features: int) -> int:
    """Rows of a chunk without gradients, at least one."""
    return max(1, min(MOST_ROWS, MOST_NUMBERS // features))
