"""Tables as requests carry them, and as answers bring them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc

CSV = {"content-type": "text/csv"}
ARROW = {"content-type": "application/vnd.apache.arrow.stream"}


def csv_bytes(columns: Mapping[str, Any]) -> bytes:
    """CSV with the digits of each number's repr; None and NaN are empty cells."""
    cells = [[_cell(value) for value in values] for values in columns.values()]
    lines = [",".join(columns), *(",".join(row) for row in zip(*cells, strict=True))]
    return ("\r\n".join(lines) + "\r\n").encode()


def arrow_bytes(table: Any, rows_a_batch: int | None = None, compression: Any = None) -> bytes:
    """An Arrow IPC stream of a table, or of columns by name."""
    if not isinstance(table, pa.Table):
        table = pa.table(dict(table))
    sink = pa.BufferOutputStream()
    options = ipc.IpcWriteOptions(compression=compression)
    with ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table, max_chunksize=rows_a_batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_arrow(content: bytes) -> pa.Table:
    """The table of an answer."""
    return ipc.open_stream(content).read_all()


def read_csv(text: str) -> dict[str, list[str]]:
    """Columns of an answer as text."""
    header, *rows = (line.split(",") for line in text.splitlines())
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return repr(value.item() if isinstance(value, np.generic) else value)
