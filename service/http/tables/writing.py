"""Answers as CSV and as Arrow IPC streams."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import ipc
from starlette.responses import Response

from service.http import media
from service.http.tables.columns import HEADER, STATUS, Columns
from service.results import STATUSES, Codes

METADATA = b"logdet"
_QUOTED = re.compile(r'[",\r\n]')


def respond(kind: str, told: Mapping[str, object], columns: Columns, status: Codes) -> Response:
    """A table.

    Args:
        kind: Media type of CSV or Arrow.
        told: What holds for all rows; JSON in a header, and in the metadata of Arrow's schema.
        columns: Of shape ``(rows,)``, by name.
        status: Of each row.
    """
    text = _json(told)
    body = _csv(columns, status) if kind == media.CSV else _arrow(text, columns, status)
    return Response(body, headers={HEADER: text}, media_type=kind)


def _arrow(told: str, columns: Columns, status: Codes) -> bytes:
    """Values as they were computed: NaN and infinities are numbers, not nulls."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    table = pa.table(arrays | {STATUS: _words(status)}, metadata={METADATA: told})
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _csv(columns: Columns, status: Codes) -> bytes:
    """The fewest digits that tell a number of its precision from others; NaN is an empty cell."""
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    table = pa.table(arrays | {STATUS: _words(status)})
    quoting = "needed" if any(map(_QUOTED.search, table.column_names)) else "none"
    content = io.BytesIO()
    style = arrow_csv.WriteOptions(quoting_header=quoting, quoting_style="none")
    arrow_csv.write_csv(table, content, style)
    return content.getvalue()


def _words(status: Codes) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(status, pa.int8()), pa.array(STATUSES))


def _json(told: Mapping[str, object]) -> str:
    """In ASCII, as headers have to be; what is not finite is null."""
    return json.dumps({name: _finite(value) for name, value in told.items()})


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
