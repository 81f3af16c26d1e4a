"""Rows as a caller has them, into Arrow tables: frames by name, arrays and lists by place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from logdet.client.errors import InvalidInput
from logdet.client.wire import Table

Kind = Literal["numpy", "pandas", "polars", "arrow"]
# An array or list of rows, or a frame: pandas and polars DataFrame, pyarrow Table and RecordBatch.
RowsLike = Any

# The classes of each kind of frame. Nothing is imported for them: who has a frame has its package.
_FRAMES: tuple[tuple[Kind, str, str], ...] = (
    ("pandas", "pandas", "DataFrame"),
    ("polars", "polars", "DataFrame"),
    ("arrow", "pyarrow", "Table"),
    ("arrow", "pyarrow", "RecordBatch"),
)
_SHOWN = 10


def kind_of(rows: RowsLike) -> Kind:
    """What rows are: a kind of frame, or what becomes an array."""
    for kind, package, name in _FRAMES:
        module = sys.modules.get(package)
        if module is not None and isinstance(rows, getattr(module, name)):
            return kind
    return "numpy"


def table_of(rows: RowsLike, names: Sequence[str], what: str) -> Table:
    """A table of the named columns, in that order, each of the type that it was given in.

    Args:
        rows: A frame, of which other columns are left out; or an array or list of rows, shape
            ``(rows, len(names))``.
        names: Of the columns.
        what: They are, for messages.

    Raises:
        InvalidInput: If columns are lacking, or values cannot be columns.
    """
    import pyarrow as pa

    kind = kind_of(rows)
    try:
        if kind == "numpy":
            return _by_place(rows, names, what)
        _check_names(list(rows.schema.names if kind == "arrow" else rows.columns), names, what)
        return _by_name(kind, rows, list(names))
    except (pa.ArrowException, TypeError) as error:
        told = " ".join(str(error).split())
        raise InvalidInput(f"expected columns of numbers in {what}, but {told[:300]}") from error


def _by_name(kind: Kind, frame: RowsLike, names: list[str]) -> Table:
    import pyarrow as pa

    if kind == "pandas":
        table = pa.Table.from_pandas(frame[names], preserve_index=False)
        return table.replace_schema_metadata(None)
    if kind == "polars":
        return frame.select(names).to_arrow()
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_batches([frame])
    return table.select(names).replace_schema_metadata(None)


def _by_place(rows: RowsLike, names: Sequence[str], what: str) -> Table:
    import pyarrow as pa

    x = array_of(rows, what)
    if x.shape[1] != len(names):
        raise InvalidInput(
            f"expected {len(names)} columns in {what} ({some(names)}), got {x.shape[1]}"
        )
    return pa.table([pa.array(x[:, j]) for j in range(x.shape[1])], names=list(names))


def array_of(rows: RowsLike, what: str) -> NDArray[Any]:
    """An array of two axes; of objects where rows come as lists, so that no number is rounded.

    Raises:
        InvalidInput: If it is no such array.
    """
    x: NDArray[Any]
    if isinstance(rows, np.ma.MaskedArray):
        x = rows
    elif isinstance(rows, list | tuple):
        x = np.array(rows, dtype=object)
    else:
        x = np.asarray(rows)
    if x.ndim != 2:
        raise InvalidInput(
            f"expected {what} to be a frame, or rows of one length (an array of two axes), got "
            f"an array of shape {x.shape} from {type(rows).__name__}"
        )
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def some(names: Sequence[object]) -> str:
    """The first names, for a message."""
    shown = ", ".join(map(str, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown}, ... ({len(names)})"


def _check_names(columns: list[object], names: Sequence[str], what: str) -> None:
    for name in names:
        found = columns.count(name)
        if found != 1:
            raise InvalidInput(
                f"expected one column {name!r} in {what}, got {found or 'none'}; columns are: "
                f"{some(columns)}"
            )
