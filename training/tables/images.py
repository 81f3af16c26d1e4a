"""Sets of images for the tables of bounds: files of 28 x 28 bytes, divided as published."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.table import Examples, Image, Rows, Split

SIDES: Image = (28, 28, 1)
# The last of the training images choose the epoch: 50,000 train, 10,000 validate, 10,000 test.
VALIDATION_IMAGES = 10_000
# What stands before the pixels of an idx file of images.
_IDX_HEADER_BYTES = 16


def _mnist(folder: Path) -> tuple[Rows, Rows]:
    archive = np.load(folder / "mnist.npz", allow_pickle=False)
    return _flat(archive["x_train"]), _flat(archive["x_test"])


def _fashion(folder: Path) -> tuple[Rows, Rows]:
    return _idx(folder / "train-images-idx3-ubyte.gz"), _idx(folder / "t10k-images-idx3-ubyte.gz")


def _idx(path: Path) -> Rows:
    with gzip.open(path) as file:
        return _flat(np.frombuffer(file.read()[_IDX_HEADER_BYTES:], dtype=np.uint8))


def _flat(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Rows:
    return images.reshape(-1, SIDES[0] * SIDES[1]).astype(np.float64)


IMAGES: dict[str, Callable[[Path], tuple[Rows, Rows]]] = {"mnist": _mnist, "fashion": _fashion}


def images(name: str, folder: Path) -> Split:
    """A set, of whose images none is set aside for calibration.

    Args:
        name: Of :data:`IMAGES`.
        folder: Holds ``mnist.npz`` (arrays ``x_train`` and ``x_test``), or the ``idx3-ubyte.gz``
            files of Fashion-MNIST.
    """
    rows, test = IMAGES[name](folder)
    train, validation = rows[:-VALIDATION_IMAGES], rows[-VALIDATION_IMAGES:]
    none = _plain(test[:0])
    return Split(_plain(train), _plain(validation), none, _plain(test), none, "as published")


def pixel_names() -> tuple[str, ...]:
    """Of the columns."""
    return tuple(f"x{i}" for i in range(SIDES[0] * SIDES[1]))


def _plain(rows: Rows) -> Examples:
    return Examples(rows, np.empty((len(rows), 0)))
