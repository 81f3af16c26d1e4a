"""From a file's cells to float64, with every cell that is no number reported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from logdet.errors import TableError, TextError
from logdet.frame import Frame

Missing = Literal["refuse", "nan"]
REPORTED = 10
_SHOWN = 40
_NO_VALUE = ("", "na", "n/a", "nan", "null", "none")
_PADDED = r"^[+-]?0\d"
_LONG = r"^[+-]?\d{16,}$"
_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity)$"


def to_float64(frame: Frame, names: Sequence[str], missing: Missing) -> NDArray[np.float64]:
    """Columns as numbers, shape ``(rows, len(names))``; missing values are NaN if allowed.

    Raises:
        TableError: Naming the first cells that are no numbers, and how many there are; a
            TextError if any of them holds text.
    """
    values = np.empty((frame.columns.num_rows, len(names)))
    refused: list[tuple[int, str, str]] = []
    kind = TableError
    for j, name in enumerate(names):
        column = frame.columns.column(name)
        values[:, j], wrong = _parse(column) if frame.is_text else (_cast(frame, name, column), {})
        if wrong:
            kind = TextError
        if missing == "refuse":
            wrong = _not_finite(values[:, j]) | wrong
        refused += [(row, name, what) for row, what in wrong.items()]
    if refused:
        raise kind(_report(frame, sorted(refused, key=lambda cell: cell[0])))
    return values


def typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as numbers if every cell is a number or missing (then a null), else as it is.

    Whole numbers are int64 if none is missing and all fit. Words for a missing value among no
    numbers stay words, and so do names made of digits: with leading zeros, or too long for a
    float64.
    """
    text = pc.ascii_lower(pc.utf8_trim_whitespace(column))
    is_number = pc.match_substring_regex(text, _NUMBER)
    is_missing = pc.is_in(text, value_set=pa.array(_NO_VALUE))
    if not pc.all(pc.or_(is_number, is_missing)).as_py():
        return column
    if not pc.any(is_number).as_py() and pc.any(pc.not_equal(text, "")).as_py():
        return column
    if pc.any(pc.match_substring_regex(text, _PADDED)).as_py():
        return column
    if not pc.any(is_missing).as_py():
        with suppress(pa.ArrowInvalid):
            return pc.cast(pc.utf8_ltrim(text, "+"), pa.int64())
    if pc.any(pc.match_substring_regex(text, _LONG)).as_py():
        return column
    return pc.cast(pc.if_else(is_number, text, None), pa.float64())


def typed_as_written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as numbers where they would be written as the same text again, else as it is."""
    text = pc.if_else(pc.equal(column, ""), None, column)
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
        if pc.cast(numbers, pa.string()).equals(text.cast(pa.string())):
            return numbers
    return column


def is_exact(column: pa.ChunkedArray) -> bool:
    """Whether a column holds numbers, and float64 can hold each of them."""
    if pa.types.is_string(column.type):
        return False
    try:
        pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _cast(frame: Frame, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    ):
        raise TextError(f"column {name!r} of {frame.source} holds {kind}, expected numbers")
    try:
        return _numbers(pc.cast(column, pa.float64()))
    except pa.ArrowInvalid as error:
        raise TableError(
            f"column {name!r} of {frame.source} holds whole numbers that float64 cannot hold"
        ) from error


def _parse(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Numbers of a text column, and the cells that are neither numbers nor missing."""
    try:
        return _numbers(pc.cast(column, pa.float64())), {}
    except pa.ArrowInvalid:
        text = pc.ascii_lower(pc.utf8_trim_whitespace(column))
    truth = pc.is_in(text, value_set=pa.array(["true", "false"]))
    if pc.all(truth).as_py():
        return _numbers(pc.cast(pc.equal(text, "true"), pa.int8())), {}
    is_number = pc.match_substring_regex(text, _NUMBER)
    known = pc.or_(is_number, pc.is_in(text, value_set=pa.array(_NO_VALUE)))
    rows = np.flatnonzero(~known.to_numpy())
    wrong = {int(row): f"holds {column[int(row)].as_py()[:_SHOWN]!r}" for row in rows[:REPORTED]}
    wrong |= dict.fromkeys(map(int, rows[REPORTED:]), "")
    return _numbers(pc.cast(pc.if_else(is_number, text, None), pa.float64())), wrong


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    filled = pc.fill_null(pc.cast(column, pa.float64()), float("nan"))
    return np.asarray(filled.to_numpy(), dtype=np.float64)


def _not_finite(values: NDArray[np.float64]) -> dict[int, str]:
    rows = np.flatnonzero(~np.isfinite(values))
    return {int(r): "is missing" if np.isnan(values[r]) else "is not finite" for r in rows}


def _report(frame: Frame, refused: Sequence[tuple[int, str, str]]) -> str:
    first = refused[:REPORTED]
    places = frame.places([row for row, _, _ in first])
    cells = [
        f"{place} column {name!r} {what}"
        for place, (_, name, what) in zip(places, first, strict=True)
    ]
    more = len(refused) - len(first)
    rest = f"; and {more:,} more" if more else ""
    count = "1 cell is" if len(refused) == 1 else f"{len(refused):,} cells are"
    return f"{frame.source}: {count} not a finite number: {'; '.join(cells)}{rest}"
