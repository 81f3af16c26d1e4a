"""A column of a file as labels: which rows are positive."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from logdet.errors import TableError
from logdet.frame import Frame
from logdet.text import some

# What a column may have for no and for yes where nobody says which value is positive.
_WORDS = {"0": False, "1": True, "false": False, "true": True}


def labels(
    frame: Frame, column: str, positive: str | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are positive, and which have a label; each of shape ``(rows,)``.

    Args:
        frame: The file.
        column: With the labels.
        positive: The value of the positive rows; 1 or true if None, beside 0 or false.

    Raises:
        TableError: If there is no such column, or its values do not tell.
    """
    if column not in frame.names:
        raise TableError(f"{frame.source} has no column {column}; it has {some(frame.names)}")
    text = _text(frame.columns.column(column))
    known = np.asarray(text.is_valid().to_numpy(), dtype=np.bool_)
    words = [word.strip() for word in text.fill_null("").to_pylist()]
    if frame.is_text:
        known &= np.array([bool(word) for word in words])
    if positive is not None:
        if _plain(positive) not in {_plain(word) for word in words}:
            raise TableError(f"no row of {frame.source} has {positive!r} as {column}")
        return np.array([_plain(word) == _plain(positive) for word in words]), known
    found = sorted({word for word, has in zip(words, known, strict=True) if has})
    wrong = [word for word in found if _plain(word) not in _WORDS]
    if wrong:
        raise TableError(
            f"expected 0 and 1 (or false and true) as {column}, got {some(found)}: say which "
            "value is positive with --positive VALUE"
        )
    return np.array([_WORDS.get(_plain(word), False) for word in words]), known


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.cast(column, pa.string())


def _plain(word: str) -> str:
    """One spelling for a number: 1.0 and 1 are the same label."""
    try:
        return f"{float(word):g}"
    except ValueError:
        return word.lower()
