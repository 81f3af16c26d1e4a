"""CSV: comma-separated UTF-8 with a header line, plain or gzipped."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv

from logdet.errors import TableError
from logdet.frame import MAX_CELLS, Frame, check_names

Open = Callable[[], BinaryIO]
# Arrow reads its own files: its threads outlive a reader, and one that still holds a Python file
# when the interpreter ends takes the process down.
OpenNative = Callable[[], pa.NativeFile]
REPORTED = 10
_BLOCK_BYTES = 4 * 2**20
_SPECIAL = re.compile(r'[",\r\n]')


def read_csv(path: Path) -> Frame:
    """The columns of a file as text.

    Raises:
        TableError: If it has no header, lines of several lengths, or no UTF-8 text.
    """
    if path.name.lower().endswith(".gz"):
        return _read_csv(
            path.name,
            lambda: cast("BinaryIO", gzip.open(path, "rb")),
            lambda: pa.CompressedInputStream(pa.OSFile(str(path)), "gzip"),
        )
    return _read_csv(path.name, lambda: path.open("rb"), lambda: pa.OSFile(str(path)))


def read_csv_bytes(source: str, content: bytes) -> Frame:
    """The same for bytes; ``source`` is what messages call them."""
    return _read_csv(source, lambda: io.BytesIO(content), lambda: pa.BufferReader(content))


def _read_csv(source: str, start: Open, native: OpenNative) -> Frame:
    try:
        names = _header(source, start)
        columns = _read(source, (start, native), names)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
        raise TableError(f"{source} is not readable as UTF-8 text: {error}") from error
    return Frame(source, names, columns, functools.partial(_lines, start), is_text=True)


def write_csv(file: IO[bytes], columns: Mapping[str, object], compress: bool = False) -> None:
    """Write columns under a header; numbers with all digits that tell them apart."""
    table = pa.table(dict(columns))
    content = io.BytesIO()
    plain = not any(_SPECIAL.search(name) for name in table.column_names)
    header = "none" if plain else "needed"
    try:
        arrow_csv.write_csv(table, content, _style(header, "none"))
    except pa.ArrowInvalid:  # a cell holds a comma, a quote or a line break
        content = io.BytesIO()
        arrow_csv.write_csv(table, content, _style(header, "needed"))
    data = content.getvalue()
    file.write(gzip.compress(data, mtime=0) if compress else data)


def _style(header: str, cells: str) -> arrow_csv.WriteOptions:
    return arrow_csv.WriteOptions(quoting_header=header, quoting_style=cells)


def _header(source: str, start: Open) -> tuple[str, ...]:
    with start() as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        names = next((row for row in csv.reader(text) if row), None)
    if names is None:
        raise TableError(f"{source} is empty")
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        raise TableError(f"expected commas between the columns of {source}, got {names[0][:80]!r}")
    if all(map(_is_number, names)):
        raise TableError(f"expected a header line of column names in {source}, got numbers")
    check_names(source, names)
    return tuple(names)


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        float(cell)
        return True
    return False


def _read(source: str, opened: tuple[Open, OpenNative], names: Sequence[str]) -> pa.Table:
    start, native = opened
    schema = pa.schema([(name, pa.string()) for name in names])
    batches, cells = [], 0
    try:
        with native() as file:
            for batch in _batches(file, schema):
                cells += batch.num_rows * batch.num_columns
                if cells > MAX_CELLS:
                    raise TableError(f"{source} has over {MAX_CELLS:,} cells; split it")
                batches.append(batch)
    except pa.ArrowInvalid as error:
        raise _explained(source, start, len(names), error) from error
    except OSError as error:  # what Arrow says of a broken gzip file
        raise TableError(f"{source} is not readable as UTF-8 text: {error}") from error
    return pa.Table.from_batches(batches, schema)


def _batches(file: pa.NativeFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    return iter(
        arrow_csv.open_csv(
            file,
            arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(column_types=schema),
        )
    )


def _explained(source: str, start: Open, expected: int, error: Exception) -> TableError:
    ragged = [f"line {line} has {len(row)}" for line, row in _rows(start) if len(row) != expected]
    if ragged:
        more = len(ragged) - REPORTED
        listed = ", ".join(ragged[:REPORTED]) + (f" and {more:,} lines more" if more > 0 else "")
        return TableError(f"{source}: expected {expected} cells in every line, {listed}")
    return TableError(f"{source} is not readable as CSV: {str(error).splitlines()[0]}")


def _rows(start: Open) -> Iterator[tuple[int, list[str]]]:
    """Rows below the header with the line each begins on."""
    with start() as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        reader = csv.reader(text)
        before, header_seen = 0, False
        for row in reader:
            if row and header_seen:
                yield before + 1, row
            header_seen |= bool(row)
            before = reader.line_num


def _lines(start: Open, rows: Sequence[int]) -> list[str]:
    wanted, last = set(rows), max(rows, default=-1)
    found = {}
    for index, (line, _) in enumerate(_rows(start)):
        if index in wanted:
            found[index] = f"line {line}"
        if index >= last:
            break
    return [found[row] for row in rows]
