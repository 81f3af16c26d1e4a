"""Rows as a caller has them, into Arrow tables: by name where they have any, else by place."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from logdet.client.errors import InvalidInput
from logdet.client.wire import Table

Kind = Literal["numpy", "pandas", "polars", "arrow"]
# An array, a list of rows or of dicts, or a frame: pandas and polars DataFrame, pyarrow Table and
# RecordBatch.
RowsLike = Any

# The classes of each kind of frame. Nothing is imported for them: who has a frame has its package.
_FRAMES: tuple[tuple[Kind, str, str], ...] = (
    ("pandas", "pandas", "DataFrame"),
    ("polars", "polars", "DataFrame"),
    ("arrow", "pyarrow", "Table"),
    ("arrow", "pyarrow", "RecordBatch"),
)
# Said of what is none.
ROWS_ARE = "a frame, a list of dicts by name, or rows of one length (an array of two axes)"
_SHOWN = 10
_ALL_WHOLE = 2**53  # up to here every whole number is a double


def kind_of(rows: RowsLike) -> Kind:
    """What rows are: a kind of frame, or what becomes an array."""
    for kind, package, name in _FRAMES:
        # A module that another thread is still importing has made no frame yet.
        made = getattr(sys.modules.get(package), name, None)
        if made is not None and isinstance(rows, made):
            return kind
    return "numpy"


def is_by_name(rows: RowsLike) -> bool:
    """Whether columns are found by name: those of a frame, and of a list of dicts."""
    return kind_of(rows) != "numpy" or _is_records(rows)


def _is_records(rows: RowsLike) -> bool:
    return isinstance(rows, list | tuple) and len(rows) > 0 and isinstance(rows[0], Mapping)


def table_of(rows: RowsLike, names: Sequence[str], what: str) -> Table:
    """A table of the named columns, in that order, each of the type that it was given in.

    Args:
        rows: A frame or a list of dicts, of which other columns are left out; or an array or list
            of rows, shape ``(rows, len(names))``.
        names: Of the columns.
        what: They are, for messages.

    Raises:
        InvalidInput: If columns are lacking, or values cannot be columns.
    """
    kind = kind_of(rows)
    if kind == "numpy":
        return (_by_key if _is_records(rows) else _by_place)(rows, names, what)
    _check_names(list(rows.schema.names if kind == "arrow" else rows.columns), names, what)
    return _by_name(kind, rows, list(names), what)


def _by_name(kind: Kind, frame: RowsLike, names: list[str], what: str) -> Table:
    import pyarrow as pa

    if kind == "pandas":
        return pa.table([_column(frame[name], name, what) for name in names], names=names)
    if kind == "polars":
        return frame.select(names).to_arrow()
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_batches([frame])
    return table.select(names).replace_schema_metadata(None)


def _by_key(rows: Sequence[Mapping[str, object]], names: Sequence[str], what: str) -> Table:
    import pyarrow as pa

    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput(
                f"expected a dict for each row of {what}, as for the first, got "
                f"{type(row).__name__} at row {place}"
            )
        if lacking := [name for name in names if name not in row]:
            raise InvalidInput(
                f"expected {lacking[0]!r} in each row of {what} (None where it is not known), got "
                f"row {place} with: {some(list(row)) or 'nothing'}"
            )
    columns = [_column([row[name] for row in rows], name, what) for name in names]
    return pa.table(columns, names=list(names))


def _by_place(rows: RowsLike, names: Sequence[str], what: str) -> Table:
    import pyarrow as pa

    x = array_of(rows, what)
    if x.shape[1] != len(names):
        raise InvalidInput(
            f"expected {len(names)} columns in {what} ({some(names)}), got {x.shape[1]}"
        )
    columns = [_column(x[:, place], name, what) for place, name in enumerate(names)]
    return pa.table(columns, names=list(names))


def _column(values: Any, name: str, what: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Values of one column as they are; what no column can hold together is refused."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"expected a column of numbers in {name!r} of {what}, got {_held(values)}"
        ) from error


def _held(values: Any) -> str:  # noqa: ANN401 - an array, a list or a pandas Series
    dtype = getattr(values, "dtype", np.dtype(object))
    if dtype.kind != "O":
        return f"values of {dtype}"
    far = [v for v in values if isinstance(v, int) and abs(v) > _ALL_WHOLE]
    if far:
        return f"{far[0]}, which is beyond 2**53"
    return f"values of {' and '.join(sorted({type(v).__name__ for v in values}))}"


def array_of(rows: RowsLike, what: str) -> NDArray[Any]:
    """An array of two axes; of objects where rows come as lists, so that no number is rounded.

    Raises:
        InvalidInput: If it is no such array.
    """
    _check_collected(rows, what)
    x: NDArray[Any]
    if isinstance(rows, np.ma.MaskedArray):
        x = rows
    elif isinstance(rows, list | tuple):
        x = np.array(rows, dtype=object)
    else:
        x = np.asarray(rows)
    if x.ndim != 2:
        got = f"an array of shape {x.shape} from {type(rows).__name__}"
        raise InvalidInput(
            f"expected {what} to be {ROWS_ARE}, got {got if x.ndim else type(rows).__name__}"
        )
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _check_collected(rows: RowsLike, what: str) -> None:
    """Refuse what has its rows only later, such as a generator or a polars LazyFrame."""
    kind = type(rows).__name__
    if isinstance(rows, Iterator):
        raise InvalidInput(f"expected {what} to be {ROWS_ARE}, got a {kind}; make it a list first")
    if callable(getattr(rows, "collect", None)):
        raise InvalidInput(f"expected {what} to be {ROWS_ARE}, got a {kind}; collect() it first")


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
