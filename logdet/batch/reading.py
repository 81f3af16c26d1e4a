"""Rows of a file or of a part of it, a batch after the other, never all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.fs as fs
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet

from logdet.errors import TableError, one_line
from logdet.frame import check_names

BATCH_ROWS = 65_536
_CSV_BLOCK_BYTES = 4 * 2**20
_MAGIC = b"ARROW1"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows on their way.

    Attributes:
        schema: Of each batch.
        is_text: Whether every column is text that may stand for a number, as in CSV.
        is_stream: Whether these are of an Arrow stream, not of an Arrow file.
        batches: The rows in order.
    """

    schema: pa.Schema
    is_text: bool
    is_stream: bool
    batches: Iterator[pa.RecordBatch]


@contextmanager
def reading(
    files: fs.FileSystem, path: str, kind: str, groups: tuple[int, int] | None
) -> Iterator[Rows]:
    """The rows of a file, of Parquet those of some row groups if they are named.

    Raises:
        TableError: If the file is not as its ending says, on the way if need be.
    """
    try:
        if kind == ".parquet":
            with files.open_input_file(path) as file:
                yield _parquet(file, groups)
        elif kind.startswith(".csv"):
            yield _csv(files, path, "gzip" if kind.endswith(".gz") else None)
        else:
            with files.open_input_file(path) as file:
                yield _arrow(file)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(f"not readable as {kind}: {one_line(str(error))}") from error


def row_groups(files: fs.FileSystem, path: str) -> list[int]:
    """Rows of each row group of a Parquet file.

    Raises:
        TableError: If it is none.
    """
    try:
        with files.open_input_file(path) as file:
            told = parquet.ParquetFile(file).metadata
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path} is not a readable Parquet file") from error
    return [told.row_group(i).num_rows for i in range(told.num_row_groups)]


def _parquet(file: pa.NativeFile, groups: tuple[int, int] | None) -> Rows:
    opened = parquet.ParquetFile(file)
    chosen = range(*groups) if groups else range(opened.num_row_groups)
    batches = opened.iter_batches(BATCH_ROWS, row_groups=list(chosen), use_threads=False)
    return Rows(_checked(opened.schema_arrow), False, False, batches)


def _arrow(file: pa.NativeFile) -> Rows:
    is_file = file.read(len(_MAGIC)) == _MAGIC
    file.seek(0)
    opened = ipc.open_file(file) if is_file else ipc.open_stream(file)
    whole = (opened.get_batch(i) for i in range(opened.num_record_batches)) if is_file else opened
    parts = (
        batch.slice(start, BATCH_ROWS)
        for batch in whole
        for start in range(0, batch.num_rows, BATCH_ROWS)
    )
    return Rows(_checked(opened.schema), False, not is_file, parts)


def _csv(files: fs.FileSystem, path: str, compression: str | None) -> Rows:
    read = arrow_csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES)
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    with files.open_input_stream(path, compression) as stream:
        names = arrow_csv.open_csv(stream, read, parse).schema.names
    schema = _checked(pa.schema([(name, pa.string()) for name in names]))
    convert = arrow_csv.ConvertOptions(column_types=schema)

    def batches() -> Iterator[pa.RecordBatch]:
        with files.open_input_stream(path, compression) as stream:
            yield from arrow_csv.open_csv(stream, read, parse, convert)

    return Rows(schema, True, False, batches())


def _checked(schema: pa.Schema) -> pa.Schema:
    check_names("the file", schema.names)
    return schema
