"""Rows of a file of any size, a block after the other."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as fs
from numpy.typing import NDArray

from exported.manifest import Manifest
from logdet.batch.places import KINDS
from logdet.batch.reading import reading
from logdet.cells import to_float64
from logdet.errors import TableError
from logdet.frame import Frame, needed, require

# A multiple of the rows that are run at once, so that the answers are those of the whole file.
BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that follow each other in a file.

    Attributes:
        first: Place of the first of them, from 0.
        frame: All their columns.
        x: Shape ``(rows, features)``; missing values are NaN.
        context: Shape ``(rows, context_features)``; None for a model without.
    """

    first: int
    frame: Frame
    x: NDArray[np.float64]
    context: NDArray[np.float64] | None


def blocks(path: Path, manifest: Manifest) -> Iterator[Block]:
    """The rows of a file in order, each block but the last of :data:`BLOCK_ROWS`.

    Raises:
        TableError: If it is no table, has no rows, or lacks a column that the model needs.
    """
    names, features, first = needed(manifest), len(manifest.features), 0
    with reading(fs.LocalFileSystem(), str(path), kind_of(path), None) as rows:
        for table in _even(rows.batches):
            places = functools.partial(_places, first)
            columns = tuple(table.column_names)
            frame = Frame(path.name, columns, table, places, rows.is_text)
            require(frame, names, manifest.name)
            values = to_float64(frame, names, "nan")
            context = values[:, features:] if features < len(names) else None
            yield Block(first, frame, values[:, :features], context)
            first += len(values)
    if not first:
        raise TableError(f"{path.name} has no rows")


def kind_of(path: Path) -> str:
    """The ending of a file that there is.

    Raises:
        TableError: If there is none, or none of a kind that is read in parts.
    """
    kinds = [kind for kind in KINDS if path.name.lower().endswith(kind)]
    if not kinds:
        raise TableError(f"expected a file named {', '.join(KINDS)}, got {path.name}")
    if not path.is_file():
        raise TableError(f"there is no file {path}")
    if not path.stat().st_size:
        raise TableError(f"{path.name} is empty")
    return kinds[0]


def _even(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(pa.Table.from_batches([batch]))
        while sum(part.num_rows for part in waiting) >= BLOCK_ROWS:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, BLOCK_ROWS)
            waiting = [whole.slice(BLOCK_ROWS)]
    rest = pa.concat_tables(waiting) if waiting else None
    if rest is not None and rest.num_rows:
        yield rest


def _places(first: int, rows: Sequence[int]) -> list[str]:
    return [f"row {first + row + 1:,}" for row in rows]
