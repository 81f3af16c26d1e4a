"""What is scored at once and becomes one file: a part of a Parquet file, or a whole other file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel, ConfigDict

from logdet.batch.places import Input
from logdet.batch.reading import row_groups

PIECE_ROWS = 262_144
_AT_ONCE = 16  # footers that are read at the same time


class Piece(BaseModel):
    """A part of a file.

    Attributes:
        address: What opens the file system of the input.
        path: Of the input, in that.
        kind: Its ending.
        output: Relative to the folder of the results.
        first_row: Place of its first row in the file.
        groups: Row groups of Parquet, from and to, without the last one; None is the whole file.
    """

    model_config = ConfigDict(frozen=True)

    address: str
    path: str
    kind: str
    output: str
    first_row: int = 0
    groups: tuple[int, int] | None = None


def plan(inputs: Sequence[Input]) -> list[list[Piece]]:
    """The pieces of each input.

    Raises:
        TableError: If a Parquet file is none.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_pieces, inputs))


def _pieces(one: Input) -> list[Piece]:
    whole = Piece(address=one.address, path=one.path, kind=one.kind, output=one.name)
    if one.kind != ".parquet":
        return [whole]
    spans = _spans(row_groups(one.files, one.path))
    if len(spans) < 2:
        return [whole]
    stem = one.name[: -len(one.kind)]
    return [
        whole.model_copy(
            update={
                "output": f"{stem}-{number:05}{one.kind}",
                "first_row": first_row,
                "groups": groups,
            }
        )
        for number, (first_row, groups) in enumerate(spans)
    ]


def _spans(rows: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
    """First row and row groups of pieces of about :data:`PIECE_ROWS`."""
    spans, start, first_row, size = [], 0, 0, 0
    for group, count in enumerate(rows, start=1):
        size += count
        if size >= PIECE_ROWS or group == len(rows):
            spans.append((first_row, (start, group)))
            start, first_row, size = group, first_row + size, 0
    return spans
