"""Bodies that are Arrow IPC streams, of columns of numbers.

See https://arrow.apache.org/docs/format/Columnar.html for the stream and its messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.types as types
from numpy.typing import NDArray
from pyarrow import ipc

from service.errors import invalid
from service.http.tables.expected import Expected
from service.http.tables.numbers import matrix

_BATCH = "record batch"
# Places of fields in the flatbuffers Message and RecordBatch of Arrow's format.
_HEADER, _COMPRESSION = 2, 3
_SHOWN = 10


def read(body: bytes, expected: Expected) -> NDArray[np.float64]:
    """The columns of a body as a matrix in the order expected; null becomes NaN.

    Raises:
        ServiceError: If it is no such stream, naming the columns or the cell.
    """
    if body.startswith(b"ARROW1"):
        raise invalid("expected an Arrow IPC stream, got an Arrow file (Feather)")
    source = pa.BufferReader(body)
    try:
        with ipc.open_stream(source) as stream:
            _check_schema(stream.schema, expected)
            _refuse_compressed(body)
            table = pa.Table.from_batches(_batches(stream, expected), stream.schema)
    except (pa.ArrowException, OSError, UnicodeDecodeError, struct.error):
        raise invalid(
            "expected an Arrow IPC stream, got something else or a part of one"
        ) from None
    if source.tell() != len(body):
        raise invalid("the Arrow IPC stream ends before the body does; send one stream")
    return matrix(table, expected.names)


def _batches(stream: ipc.RecordBatchStreamReader, expected: Expected) -> Iterator[pa.RecordBatch]:
    """The batches, until they are too many rows."""
    rows = 0
    for batch in stream:
        # What a client says of lengths is checked before anything is read by them, and counted
        # here: nulls have lengths without a buffer, and Arrow's own sum of them wraps.
        rows += batch.num_rows
        expected.check_count(rows)
        batch.validate(full=True)
        yield batch


def _check_schema(schema: pa.Schema, expected: Expected) -> None:
    expected.check_names(schema.names)
    wrong = [f"{field.type} in {field.name!r}" for field in schema if not _is_number(field.type)]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise invalid(
            f"expected columns of whole or floating-point numbers, got "
            f"{', '.join(text[:200] for text in wrong[:_SHOWN])}{more}"
        )


def _is_number(kind: pa.DataType) -> bool:
    # A column of nothing but missing values is what writers make a null column of.
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind))


def _refuse_compressed(body: bytes) -> None:
    """Refuse compressed buffers, whose size Arrow would find out by filling the memory."""
    for message in ipc.MessageReader.open_stream(pa.BufferReader(body)):
        if message.type == _BATCH and _is_compressed(message.metadata.to_pybytes()):
            raise invalid(
                "expected an Arrow IPC stream without compressed buffers, got compressed ones; "
                "compress the whole body and say content-encoding: gzip"
            )


def _is_compressed(message: bytes) -> bool:
    """Whether a record batch's message says so; Arrow itself verifies the layout when it reads."""
    root: int = struct.unpack_from("<I", message, 0)[0]
    at = root + _field(message, root, _HEADER)
    batch = at + struct.unpack_from("<I", message, at)[0]
    return _field(message, batch, _COMPRESSION) != 0


def _field(message: bytes, table: int, place: int) -> int:
    """Where a field of a flatbuffers table lies behind the table's start; 0 if it is left out."""
    fields: int = table - struct.unpack_from("<i", message, table)[0]
    size: int = struct.unpack_from("<H", message, fields)[0]
    at = 4 + 2 * place
    return int(struct.unpack_from("<H", message, fields + at)[0]) if at < size else 0
