"""numpy archives: a matrix or images ``x`` (or ``data``), or one vector for each column."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from logdet.errors import TableError
from logdet.frame import MAX_CELLS, Frame, Image, check_names, pixel_names

_KEYS = ("x", "data")
Arrays = Mapping[str, NDArray[np.generic]]


def read_npz(path: Path) -> Frame:
    """The columns of an archive.

    ``x`` or ``data`` of two axes is the table, its columns named by ``names`` if there is such an
    array and ``f0, f1, ..`` otherwise. Of three or four axes it holds images, ``(rows, height,
    width)`` or with the channels last; their pixels are the columns ``p_ROW_COLUMN`` or
    ``p_ROW_COLUMN_CHANNEL``, and vectors of the same length stand behind them, such as a label.
    Without it, the vectors of the archive are the columns.

    Raises:
        TableError: If there is no such array, or it holds anything but numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > 8 * MAX_CELLS:
                raise TableError(f"{path.name} holds over {MAX_CELLS:,} cells; split it")
        with np.load(path, allow_pickle=False) as loaded:
            arrays = {key: loaded[key] for key in loaded.files}
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise TableError(f"{path.name} is not an archive of plain numpy arrays") from error
    image = _image(arrays)
    names, columns = _columns(path.name, arrays) if image is None else _pixels(arrays, image)
    check_names(path.name, names)
    try:
        table = pa.table(columns, names=names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(f"{path.name} holds values that are no numbers") from error
    return Frame(
        path.name, names, table, lambda rows: [f"row {row + 1}" for row in rows], image=image
    )


def write_npz(file: IO[bytes], columns: Mapping[str, object]) -> None:
    """One vector for each column; text becomes fixed-width Unicode, masks are left out."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, column in columns.items():
            values = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column
            array = np.asarray(values)
            plain = array.astype(str) if array.dtype == object else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, plain, allow_pickle=False)


def _columns(source: str, arrays: Arrays) -> tuple[tuple[str, ...], list[NDArray[np.generic]]]:
    key = next((k for k in _KEYS if k in arrays), None)
    alone = len(arrays) == 1 + ("names" in arrays)
    if key is not None and (arrays[key].ndim == 2 or (arrays[key].ndim == 1 and alone)):
        matrix = arrays[key] if arrays[key].ndim == 2 else arrays[key][:, None]
        return _names(source, arrays, matrix.shape[1]), list(matrix.T)
    vectors = {k: a for k, a in arrays.items() if a.ndim == 1}
    if not vectors or len(vectors) != len(arrays):
        raise TableError(
            f"expected {source} to hold an array x (or data) of rows and columns or of images, or "
            f"one vector for each column, got {_described(arrays)}"
        )
    if len({len(vector) for vector in vectors.values()}) > 1:
        raise TableError(f"the vectors of {source} differ in length: {_described(arrays)}")
    return tuple(vectors), list(vectors.values())


def _image(arrays: Arrays) -> Image | None:
    """Height, width and channels where the archive holds images."""
    array = next((arrays[key] for key in _KEYS if key in arrays), None)
    if array is None or array.ndim not in (3, 4):
        return None
    height, width, channels = (*array.shape[1:], 1)[:3]
    return height, width, channels


def _pixels(arrays: Arrays, image: Image) -> tuple[tuple[str, ...], list[NDArray[np.generic]]]:
    key = next(key for key in _KEYS if key in arrays)
    rows = arrays[key].reshape(len(arrays[key]), math.prod(image))
    vectors = {k: a for k, a in arrays.items() if a.shape == (len(rows),) and k != "names"}
    return (*pixel_names(image), *vectors), [*rows.T, *vectors.values()]


def _names(source: str, arrays: Arrays, columns: int) -> tuple[str, ...]:
    names = arrays.get("names")
    if names is None:
        return tuple(f"f{j}" for j in range(columns))
    if names.shape != (columns,):
        raise TableError(f"{source} has {columns} columns and names of shape {names.shape}")
    return tuple(map(str, names))


def _described(arrays: Arrays) -> str:
    listed = [f"{key} {array.shape}" for key, array in arrays.items()]
    return ", ".join(listed[:10]) or "nothing"
