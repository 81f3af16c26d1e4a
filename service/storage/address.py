"""Addresses such as ``s3://bucket/prefix``: which are, what of them is shown, what opens them."""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import pyarrow.fs as fs

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_address(text: str) -> bool:
    """Whether this names a place elsewhere, not a folder of this machine."""
    return _ADDRESS.match(text) is not None


def checked(address: str) -> str:
    """The address.

    Raises:
        ValueError: If it holds a password, which would be told wherever it is.
    """
    if urlsplit(address).password is not None:
        raise ValueError(
            f"expected {shown(address)} without a password: credentials come from the environment"
        )
    return address


def shown(address: str) -> str:
    """The address as logs may tell it: without credentials and options."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@cache
def opened(address: str) -> tuple[fs.FileSystem, str]:
    """What reads an address, and the path in it: of pyarrow, else of fsspec where that knows it.

    Raises:
        ValueError: If there is no such file system, or the address has a password.
    """
    import pyarrow as pa

    try:
        return _by_arrow(checked(address))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ImportError, ValueError) as error:
        why = " ".join(str(error).split()).replace(address, shown(address))
        raise ValueError(f"cannot reach {shown(address)}: {why}") from error


def _by_arrow(address: str) -> tuple[fs.FileSystem, str]:
    import pyarrow as pa
    import pyarrow.fs as fs

    try:
        files, path = fs.FileSystem.from_uri(address)
    except pa.ArrowInvalid as error:
        if "Unrecognized filesystem type" not in str(error):
            raise
        from fsspec.core import url_to_fs

        other, path = url_to_fs(address)
        return fs.PyFileSystem(fs.FSSpecHandler(other)), path
    # One that is made of an address tries for minutes where nothing answers; a copy is made by the
    # constructor, whose three attempts end after some seconds.
    return (copy.copy(files) if files.type_name == "s3" else files), path
