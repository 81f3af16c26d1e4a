"""Columns as lines of JSON, a row an object: of answers in lines, and of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray


def objects(columns: Mapping[str, NDArray[Any]]) -> list[bytes]:
    """An object for each row, without line breaks; not finite is null.

    Args:
        columns: Of shape ``(rows,)``, by name: numbers, truth values, or objects that are words,
            truth values or None. No word holds a comma.
    """
    keys = (orjson.dumps(name).replace(b"%", b"%%") for name in columns)
    template = b"{" + b",".join(key + b":%b" for key in keys) + b"}"
    values = zip(*(_texts(column) for column in columns.values()), strict=True)
    return [template % row for row in values]


def _texts(column: NDArray[Any]) -> list[bytes]:
    """Each value as JSON, numbers with the fewest digits that tell them."""
    plain = column.tolist() if column.dtype.kind in "bO" else np.ascontiguousarray(column)
    text = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    return text.split(b",") if text else []
