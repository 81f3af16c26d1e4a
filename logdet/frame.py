"""A table as a file holds it, before its columns become numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from exported.manifest import Manifest
from logdet.errors import TableError
from logdet.text import some

MAX_CELLS = 500_000_000  # 4 GB as float64
Image = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns of any type.

    Attributes:
        source: What to call the file in messages.
        names: Column names as in the file.
        columns: The columns, by those names.
        places: What a person calls rows of these indices: a line of a text file, or a row.
        is_text: Every column is text that may stand for a number, as in CSV.
        image: Height, width and channels where the first columns are the pixels of an image.
    """

    source: str
    names: tuple[str, ...]
    columns: pa.Table
    places: Callable[[Sequence[int]], list[str]]
    is_text: bool = False
    image: Image | None = None


def pixel_names(image: Image) -> tuple[str, ...]:
    """The columns of an image, row after row, with the channels of a pixel together.

    As scikit-learn names those of its digits.
    """
    height, width, channels = image
    return tuple(
        f"pixel_{row}_{column}" + (f"_{channel}" if channels > 1 else "")
        for row in range(height)
        for column in range(width)
        for channel in range(channels)
    )


def require(frame: Frame, columns: Sequence[str], model: str) -> None:
    """Refuse a file without some of the columns that a model needs.

    Raises:
        TableError: Naming those that are lacking.
    """
    lacking = [name for name in columns if name not in frame.names]
    if lacking:
        raise TableError(
            f"{frame.source} has no column {some(lacking)}; {model} needs {some(columns)}, "
            f"the file has {some(frame.names)}"
        )


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


def needed(manifest: Manifest) -> tuple[str, ...]:
    """Names of the features, then of the context."""
    return tuple(f.name for f in manifest.features + manifest.context_features)
