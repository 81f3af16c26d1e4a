"""Batches of rows into a file that appears complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from posixpath import dirname

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.fs as fs
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet

from logdet.batch.places import drafted

Write = Callable[[pa.Table], None]
# Of a column's distinct values. By its default of 1 MiB a dictionary is built for keys and
# log-densities too, which takes longer and makes larger files of them.
_DICTIONARY_BYTES = 65_536


@contextmanager
def writing(
    files: fs.FileSystem, path: str, kind: str, schema: pa.Schema, is_stream: bool
) -> Iterator[Write]:
    """Write tables of a schema, each after the one before."""
    files.create_dir(dirname(path))
    draft = drafted(path)
    compression = "gzip" if kind.endswith(".gz") else None
    try:
        with (
            files.open_output_stream(draft, compression) as stream,
            _writer(stream, kind, schema, is_stream) as write,
        ):
            yield write
    except BaseException:
        with suppress(OSError, pa.ArrowException):  # of a file that could not be opened
            files.delete_file(draft)
        raise
    files.move(draft, path)


@contextmanager
def _writer(
    stream: pa.NativeFile, kind: str, schema: pa.Schema, is_stream: bool
) -> Iterator[Write]:
    if kind == ".parquet":
        with parquet.ParquetWriter(
            stream, schema, dictionary_pagesize_limit=_DICTIONARY_BYTES
        ) as writer:
            yield writer.write_table
    elif kind.startswith(".csv"):
        yield _csv(stream, schema)
    else:
        begin = ipc.new_stream if is_stream else ipc.new_file
        with begin(stream, schema) as writer:
            yield writer.write_table


def _csv(stream: pa.NativeFile, schema: pa.Schema) -> Write:
    arrow_csv.write_csv(schema.empty_table(), stream, _style(True, "needed"))

    def write(table: pa.Table) -> None:
        try:
            content = _written(table, "none")
        except pa.ArrowInvalid:  # a cell holds a comma, a quote or a line break
            content = _written(table, "needed")
        stream.write(content)

    return write


def _written(table: pa.Table, cells: str) -> pa.Buffer:
    into = pa.BufferOutputStream()
    arrow_csv.write_csv(table, into, _style(False, cells))
    return into.getvalue()


def _style(has_header: bool, cells: str) -> arrow_csv.WriteOptions:
    return arrow_csv.WriteOptions(include_header=has_header, quoting_style=cells)
