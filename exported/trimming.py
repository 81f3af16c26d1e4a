"""Contaminated rows: the share of the least likely ones that is left out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from exported.frozen import Frozen

# Where half of the rows are to go, nobody knows which half is the ordinary one.
MAX_SHARE = 0.5
# Of a share times rows: 0.29 * 100 is a little less than 29 in floating point.
_DECIMALS = 6


class Trimmed(Frozen):
    """Rows that were left out because no score was lower.

    Attributes:
        share: Of the rows that was to go.
        rows: How many went: the whole number at or under that share of them.
        cut: Lowest score that stayed; None where that row is out of support.
    """

    share: float = Field(gt=0, lt=MAX_SHARE)
    rows: int = Field(ge=0)
    cut: float | None


def trim(scores: NDArray[np.floating], share: float) -> tuple[NDArray[np.bool_], Trimmed | None]:
    """Which rows stay, and what a manifest tells of the others.

    Args:
        scores: Shape ``(rows,)``, without NaN; of equal ones the later rows stay.
        share: Under one half; with 0 all stay and there is nothing to tell.

    Raises:
        ValueError: If there is no row, or the share is out of range.
    """
    if not len(scores):
        raise ValueError("expected rows to trim, got none")
    if not 0.0 <= share < MAX_SHARE:
        raise ValueError(f"expected a share to trim from 0 to under {MAX_SHARE:g}, got {share:g}")
    kept = np.ones(len(scores), dtype=np.bool_)
    if share == 0.0:
        return kept, None
    dropped = math.floor(round(share * len(scores), _DECIMALS))
    kept[np.argsort(scores, kind="stable")[:dropped]] = False
    cut = float(scores[kept].min())
    return kept, Trimmed(share=share, rows=dropped, cut=cut if math.isfinite(cut) else None)
