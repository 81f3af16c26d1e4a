"""CSV bodies: UTF-8 with a header row of column names, as RFC 4180 has it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from service.errors import ServiceError, invalid
from service.http.tables.expected import Expected
from service.http.tables.numbers import matrix

_BLOCK_BYTES = 2**30  # Arrow counts a block in 32 bits; a whole body fits, so that no cell is cut
_CELL = re.compile(rb"[^\r\n]")
_HEADER_BYTES = 64 * 1024  # and some for each name: a longer header cannot be the right one


def read(body: bytes, expected: Expected) -> NDArray[np.float64]:
    """The columns of a body as a matrix in the order expected; an empty cell becomes NaN.

    Raises:
        ServiceError: If it is no such table, naming the columns or the cell.
    """
    try:
        names, start = _header(body, _HEADER_BYTES + sum(8 * len(n) for n in expected.names))
    except (UnicodeDecodeError, csv.Error):
        raise invalid("expected CSV in UTF-8 with a header row of column names") from None
    # Before Arrow reads anything: it would make room for any number of columns.
    expected.check_names(names)
    rows = memoryview(body)[start:]
    try:
        table = _text(rows, names)
    except pa.ArrowInvalid:
        raise _explained(bytes(rows), len(names)) from None
    expected.check_count(table.num_rows)
    return matrix(table, expected.names)


def _header(body: bytes, limit_bytes: int) -> tuple[list[str], int]:
    """The names of the columns, and where the rows begin."""
    start = 0

    def lines() -> Iterator[str]:
        nonlocal start
        while start < len(body):
            before, start = start, body.find(b"\n", start) + 1 or len(body)
            if start > limit_bytes:
                raise invalid(
                    f"expected a header row of column names in at most {limit_bytes} bytes"
                )
            yield body[before:start].decode("utf-8" if before else "utf-8-sig")

    for names in csv.reader(lines()):
        if names:
            return names, start
    raise invalid("expected CSV with a header row of column names, got no row")


def _text(rows: memoryview, names: list[str]) -> pa.Table:
    """The cells as text, which costs as much as numbers do: a cell that is none can be named."""
    # In a table of one column, an empty line is a row whose value is missing.
    has_empty_rows = len(names) == 1
    columns = pa.schema([(name, pa.string()) for name in names])
    if not rows or not (has_empty_rows or _CELL.search(rows)):
        return columns.empty_table()
    return arrow_csv.read_csv(
        pa.BufferReader(pa.py_buffer(rows)),
        # One request must not take every core.
        arrow_csv.ReadOptions(
            use_threads=False, block_size=min(len(rows), _BLOCK_BYTES), column_names=names
        ),
        arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=not has_empty_rows),
        arrow_csv.ConvertOptions(column_types=columns, null_values=[""], strings_can_be_null=True),
    )


def _explained(rows: bytes, cells: int) -> ServiceError:
    """Why Arrow does not read the rows."""
    try:
        widths = (len(row) for row in csv.reader(io.StringIO(rows.decode(), newline="")) if row)
        ragged = next(((i, got) for i, got in enumerate(widths) if got != cells), None)
    except (UnicodeDecodeError, csv.Error):
        ragged = None
    if ragged is None:
        return invalid("expected rows of CSV in UTF-8 below the header")
    return invalid(
        f"expected {cells} cells in every row, as in the header, got {ragged[1]} at row "
        f"{ragged[0]}"
    )
