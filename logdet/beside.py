"""Rows of a file for a model, and the file again with a model's answers beside its own columns."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from exported.manifest import Manifest
from logdet.cells import is_exact, to_float64, typed, typed_as_written
from logdet.csv_file import read_csv_bytes
from logdet.errors import TableError, UserError
from logdet.files import Columns, extension, read_frame, write_table
from logdet.frame import Frame, needed, require


@dataclass(frozen=True, slots=True)
class Given:
    """A file's rows as a model takes them.

    Attributes:
        frame: The whole file.
        names: Columns of the features, then those of the context.
        table: Those columns, shape ``(rows, len(names))``; missing values are NaN.
        features: How many of them are features.
    """

    frame: Frame
    names: tuple[str, ...]
    table: NDArray[np.float64]
    features: int

    @property
    def x(self) -> NDArray[np.float64]:
        """Shape ``(rows, features)``."""
        return self.table[:, : self.features]

    @property
    def context(self) -> NDArray[np.float64] | None:
        """Shape ``(rows, context_features)``; None for a model without a context."""
        return self.table[:, self.features :] if self.features < len(self.names) else None


def check_output(file: Path, output: Path | None) -> None:
    """Refuse a file to write that has no known ending, or is the one that is read.

    Raises:
        UserError: Which of the two.
    """
    if output is None:
        return
    extension(output)
    if output.exists() and file.exists() and output.samefile(file):
        raise UserError(f"expected another file than the input {file} as output, got {output}")


def read_rows(file: Path, manifest: Manifest, start: bytes = b"") -> Given:
    """The columns that a model needs, found by name; ``-`` is CSV on standard input.

    Args:
        file: What to read.
        manifest: Of the model.
        start: What was already read of standard input.

    Raises:
        TableError: If the file is no table, or lacks a column.
    """
    frame = _read(file, start)
    names = needed(manifest)
    require(frame, names, manifest.name)
    return Given(frame, names, to_float64(frame, names, "nan"), len(manifest.features))


def write_beside(given: Given, answers: Columns, output: Path) -> None:
    """Write the file's columns and behind them the answers, which replace its own of that name.

    Raises:
        TableError: If the file cannot be written.
    """
    own = _own(given.frame, dict(zip(given.names, given.table.T, strict=True)), output)
    replaced = [name for name in own if name in answers]
    if replaced:
        click.echo(f"logdet: replaced the file's own {', '.join(replaced)}", err=True)
    kept = {name: column for name, column in own.items() if name not in answers}
    write_table(output, {**kept, **answers})


def _read(file: Path, start: bytes) -> Frame:
    if str(file) != "-":
        return read_frame(file)
    frame = read_csv_bytes("standard input", start + sys.stdin.buffer.read())
    if not frame.columns.num_rows:
        raise TableError("standard input has no rows")
    return frame


def _own(frame: Frame, numbers: Columns, output: Path) -> Columns:
    """The file's own columns as the output can hold them: only CSV keeps how numbers looked."""
    given = {name: frame.columns.column(name) for name in frame.names}
    if not frame.is_text:
        return given
    if extension(output).startswith(".csv"):
        return {name: typed_as_written(column) for name, column in given.items()}
    types = {name: typed(column) for name, column in given.items()}
    return types | {name: x for name, x in numbers.items() if not is_exact(types[name])}
