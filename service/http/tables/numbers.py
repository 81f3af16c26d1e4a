"""Arrow's columns into one matrix of float64, with the cell named where that is not possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.errors import ServiceError, invalid

_SHOWN = 64


def matrix(table: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Columns side by side, shape ``(rows, len(names))``; what is missing becomes NaN.

    Args:
        table: Has each of the columns once, of numbers or of text that stands for them.
        names: The columns wanted, in order.

    Raises:
        ServiceError: Naming the row and column of a cell that float64 cannot hold.
    """
    values = np.empty((table.num_rows, len(names)))
    for j, name in enumerate(names):
        start = 0
        for chunk in _cast(table.column(name), name).chunks:
            # A view of Arrow's own memory where nothing is missing.
            values[start : start + len(chunk), j] = chunk.to_numpy(zero_copy_only=False)
            start += len(chunk)
    return values


def _cast(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        column = pc.ascii_trim_whitespace(column)
    try:
        return pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        raise _refused(column, name) from None


def _refused(column: pa.ChunkedArray, name: str) -> ServiceError:
    """Names the first cell that cannot be cast, which is searched for by halves."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(column.slice(low, middle - low), pa.float64())
            low = middle
        except pa.ArrowInvalid:
            high = middle
    cell, place = column[low].as_py(), f"at row {low}, column {name!r}"
    if isinstance(cell, str):
        text = cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "..."
        return invalid(f"expected a number or an empty cell {place}, got the text {text!r}")
    return invalid(
        f"expected whole numbers from -2**53 to 2**53, which a double tells apart, got {cell} "
        f"{place}"
    )
