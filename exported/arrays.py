"""Arrays in an ``.npz`` archive: the narrow part of numpy's format that a bundle may hold.

Read here and not by numpy because numpy allocates whatever a header claims, evaluates that header
as Python, and accepts any compression that zip has.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from exported.errors import BundleInvalidError

MAX_ARCHIVE_BYTES = 256 * 2**20
_DTYPES = ("<f4", "<f8", "<i8")
_PREAMBLE = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '(<f4|<f8|<i8)', 'fortran_order': False, "
    rb"'shape': \(([0-9]{1,10},|[0-9]{1,10}(?:, [0-9]{1,10}){1,7})\), \} *\n"
)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


def write_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """An ``.npz`` archive in memory; equal arrays give equal bytes.

    Raises:
        ValueError: If an array has no axis, or is not of float32, float64 or int64.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            if array.dtype.newbyteorder("<").str not in _DTYPES or array.ndim == 0:
                raise ValueError(
                    f"expected {name!r} to be a vector or more of float32, float64 or int64, "
                    f"got {array.dtype} of shape {array.shape}"
                )
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, _npy(array))
    return buffer.getvalue()


def read_arrays(content: bytes) -> dict[str, NDArray[np.generic]]:
    """Arrays of an ``.npz`` archive; never unpickles, never inflates more than the limit.

    Raises:
        BundleInvalidError: If it is no archive, holds anything but plain arrays, or is too large
            when inflated.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            return {e.filename.removesuffix(".npy"): _read(archive, e) for e in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise BundleInvalidError(f"not a readable array archive: {error}") from error


def _npy(array: NDArray[np.generic]) -> bytes:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    inflated = sum(entry.file_size for entry in entries)
    if inflated > MAX_ARCHIVE_BYTES:
        raise BundleInvalidError(
            f"archive inflates to {inflated} bytes, at most {MAX_ARCHIVE_BYTES} are read"
        )
    if len({entry.filename for entry in entries}) != len(entries):
        raise BundleInvalidError("archive holds two arrays of the same name")
    for entry in entries:
        if not entry.filename.endswith(".npy"):
            raise BundleInvalidError(f"archive holds {entry.filename!r}, which is no array")
        if entry.compress_type not in _COMPRESSIONS or entry.flag_bits & _ENCRYPTED:
            raise BundleInvalidError(f"{entry.filename} is neither stored nor deflated")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[np.generic]:
    with archive.open(entry) as file:
        # A size is given so that no more is inflated than the directory declares.
        content = file.read(entry.file_size + 1)
    length = int.from_bytes(content[8:10], "little")
    header = _HEADER.fullmatch(content[10 : 10 + length])
    if content[:8] != _PREAMBLE or header is None:
        raise BundleInvalidError(
            f"{entry.filename} is not a plain array of float32, float64 or int64"
        )
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(n) for n in header[2].split(b",") if n)
    body = content[10 + length :]
    if len(body) != math.prod(shape) * dtype.itemsize:
        raise BundleInvalidError(f"{entry.filename} does not hold the shape {shape} it declares")
    return np.frombuffer(body, dtype).reshape(shape).copy()
