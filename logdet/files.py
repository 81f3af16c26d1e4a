"""Tables in files: ``.csv``, ``.csv.gz``, ``.parquet`` and ``.npz``, read into float64.

Nothing is dropped or guessed: a cell that is not a number is reported by its line and column.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from logdet.cells import Missing, to_float64
from logdet.csv_file import read_csv, write_csv
from logdet.errors import TableError
from logdet.frame import MAX_CELLS, Frame, Image, check_names, pixel_names
from logdet.npz_file import read_npz, write_npz
from logdet.text import some

EXTENSIONS = (".csv", ".csv.gz", ".parquet", ".npz")
Columns = Mapping[str, "NDArray[np.generic] | pa.ChunkedArray"]


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns of numbers.

    Attributes:
        names: Column names, unique.
        values: Shape ``(rows, columns)``.
        image: Height, width and channels where the first columns are the pixels of an image.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    image: Image | None = None


def read_table(
    path: Path, missing: Missing = "refuse", drop: frozenset[str] = frozenset()
) -> Table:
    """The columns of a file as float64.

    Args:
        path: A file with one of :data:`EXTENSIONS`.
        missing: ``nan`` lets missing and non-finite values through; text is refused in any case.
        drop: Columns to leave out, whatever they hold.

    Raises:
        TableError: If the file is not such a table, naming the first cells that are no numbers, or
            has not a column to be left out.
    """
    frame = read_frame(path)
    if unknown := sorted(drop - set(frame.names)):
        raise TableError(
            f"columns to drop that are not in {path.name}: {', '.join(unknown)}; "
            f"there are: {some(frame.names)}"
        )
    names = tuple(name for name in frame.names if name not in drop)
    image = None if drop & set(pixel_names(frame.image or (0, 0, 0))) else frame.image
    return Table(names, to_float64(frame, names, missing), image)


def read_frame(path: Path) -> Frame:
    """A file's columns before they become numbers.

    Raises:
        TableError: If the file is not a table.
    """
    kind = extension(path)
    if not path.is_file():
        raise TableError(f"there is no file {path}")
    reader: Callable[[Path], Frame] = {
        ".csv": read_csv,
        ".csv.gz": read_csv,
        ".parquet": _read_parquet,
        ".npz": read_npz,
    }[kind]
    frame = reader(path)
    if not frame.columns.num_rows:
        raise TableError(f"{path.name} has no rows")
    return frame


def write_table(path: Path, columns: Columns) -> None:
    """Write columns of one length; the file appears complete or not at all.

    Raises:
        TableError: If the name has none of :data:`EXTENSIONS`, or its folder does not exist.
    """
    writer: Callable[[IO[bytes], Columns], None] = {
        ".csv": write_csv,
        ".csv.gz": lambda file, columns: write_csv(file, columns, compress=True),
        ".parquet": _write_parquet,
        ".npz": write_npz,
    }[extension(path)]
    if not path.parent.is_dir():
        raise TableError(f"there is no folder {path.parent} to write {path.name} in")
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer(file, columns)
        Path(draft).chmod(0o666 & ~_umask())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def extension(path: Path) -> str:
    """Which of :data:`EXTENSIONS` a file name has.

    Raises:
        TableError: If none.
    """
    found = [e for e in EXTENSIONS if path.name.lower().endswith(e)]
    if not found:
        raise TableError(f"expected a file named {', '.join(EXTENSIONS)}, got {path.name}")
    return found[0]


def _read_parquet(path: Path) -> Frame:
    try:
        with parquet.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            if rows * len(schema.names) > MAX_CELLS:
                raise TableError(f"{path.name} has over {MAX_CELLS:,} cells; split it")
            check_names(path.name, schema.names)
            columns = file.read()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise TableError(f"{path.name} is not a readable Parquet file") from error
    return Frame(
        path.name, tuple(schema.names), columns, lambda rows: [f"row {r + 1}" for r in rows]
    )


def _write_parquet(file: IO[bytes], columns: Columns) -> None:
    parquet.write_table(pa.table(dict(columns)), file)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
