"""A table as a file holds it, before its columns become numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from logdet.errors import TableError

MAX_CELLS = 500_000_000  # 4 GB as float64


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns of any type.

    Attributes:
        source: What to call the file in messages.
        names: Column names as in the file.
        columns: The columns, by those names.
        places: What a person calls rows of these indices: a line of a text file, or a row.
        is_text: Every column is text that may stand for a number, as in CSV.
    """

    source: str
    names: tuple[str, ...]
    columns: pa.Table
    places: Callable[[Sequence[int]], list[str]]
    is_text: bool = False


def check_names(source: str, names: Sequence[str]) -> None:
    """Refuse names that cannot tell columns apart.

    Raises:
        TableError: If a name is empty or repeated, or there is none.
    """
    if not names:
        raise TableError(f"{source} has no columns")
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise TableError(f"column {number} of {source} has no name")
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise TableError(f"{source} has two columns named {twice!r}")
