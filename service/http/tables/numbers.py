"""Arrow's columns into one matrix of float64, with the cell named where that is not possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.errors import ServiceError, invalid

_SHOWN = 64
_ALL_WHOLE = 2.0**53  # up to here every whole number is a double
_MOST_DIGITS = 309  # of the largest double
_WHOLE = "^[+-]?[0-9]+$"


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
        column = table.column(name)
        is_text = pa.types.is_string(column.type)
        if is_text:
            column = pc.ascii_trim_whitespace(column)
        start = 0
        for chunk in _cast(column, name).chunks:
            # A view of Arrow's own memory where nothing is missing.
            values[start : start + len(chunk), j] = chunk.to_numpy(zero_copy_only=False)
            start += len(chunk)
        if is_text:
            _check_digits(column, values[:, j], name)
    return values


def _cast(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    try:
        return pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        # Looked for only here: in most tables, cells without a number are empty and null by now.
        blank = pc.equal(column, "") if pa.types.is_string(column.type) else None
        if blank is not None and pc.any(blank).as_py():
            return _cast(pc.if_else(blank, None, column), name)
        raise _refused(column, name) from None


def _check_digits(column: pa.ChunkedArray, values: NDArray[np.float64], name: str) -> None:
    """Refuse whole numbers in digits that the cast had to round."""
    far = np.flatnonzero(np.abs(values) >= _ALL_WHOLE)
    cells = column.take(pa.array(far))
    # A fraction or a power of ten is as near as a double comes to it, and meant so.
    is_whole = pc.match_substring_regex(cells, _WHOLE).to_numpy()
    for row, cell in zip(far[is_whole], cells.filter(is_whole).to_pylist(), strict=True):
        digits = cell.lstrip("+-0")
        if len(digits) > _MOST_DIGITS or int(digits) != abs(float(values[row])):
            raise invalid(
                f"expected whole numbers that doubles tell apart, as all up to 2**53 are, got "
                f"{_shown(cell)} at row {row}, column {name!r}"
            )


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
        return invalid(
            f"expected a number or an empty cell {place}, got the text {_shown(cell)!r}"
        )
    return invalid(
        f"expected whole numbers from -2**53 to 2**53, which a double tells apart, got {cell} "
        f"{place}"
    )


def _shown(cell: str) -> str:
    return cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "..."
