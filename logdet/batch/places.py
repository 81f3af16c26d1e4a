"""Files on this machine and at remote addresses, found by name, folder or pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from posixpath import basename, dirname, join, relpath

import pyarrow.fs as fs

from logdet.errors import UserError
from logdet.text import some
from service.storage.address import is_address, opened, shown

KINDS = (".parquet", ".csv", ".csv.gz", ".arrow", ".arrows", ".ipc", ".feather")
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, or where a file is.

    Attributes:
        address: A path or an address such as ``s3://bucket/folder``: what opens the file system.
        path: In that file system, without an end slash.
    """

    address: str
    path: str

    @classmethod
    def of(cls, address: str) -> Folder:
        """The folder at an address as typed.

        Raises:
            UserError: If there is no such file system.
        """
        full = address if is_address(address) else os.path.abspath(address)
        return cls(full, _opened(full)[1].rstrip("/"))

    @property
    def files(self) -> fs.FileSystem:
        """Where it is."""
        return _opened(self.address)[0]

    @property
    def shown(self) -> str:
        """The address as a person is told it."""
        return _shown(self.address)

    def at(self, *parts: str) -> str:
        """The path of something in it."""
        return join(self.path, *parts)

    def list(self, part: str = "") -> set[str]:
        """Paths of all files in it, or in a part of it, relative to that."""
        base = self.at(part).rstrip("/")
        selector = fs.FileSelector(base, allow_not_found=True, recursive=True)
        found = self.files.get_file_info(selector)
        return {relpath(info.path, base) for info in found if info.is_file}

    def write(self, name: str, content: bytes) -> None:
        """A small file that appears complete or not at all."""
        path = self.at(name)
        self.files.create_dir(dirname(path))
        draft = drafted(path)
        with self.files.open_output_stream(draft) as stream:
            stream.write(content)
        self.files.move(draft, path)

    def read(self, name: str) -> bytes:
        """All of a small file."""
        with self.files.open_input_stream(self.at(name)) as stream:
            return bytes(stream.read())


@dataclass(frozen=True, slots=True)
class Input:
    """A file to score.

    Attributes:
        address: What opens its file system.
        path: In that file system.
        name: Relative to the folder that was named, or that the pattern begins with.
        size: Bytes.
        modified_ns: Nanoseconds since 1970; None where the file system does not say.
    """

    address: str
    path: str
    name: str
    size: int
    modified_ns: int | None

    @property
    def files(self) -> fs.FileSystem:
        """Where it is."""
        return _opened(self.address)[0]

    @property
    def kind(self) -> str:
        """Which of :data:`KINDS`."""
        return next(kind for kind in reversed(KINDS) if self.name.lower().endswith(kind))


def drafted(path: str) -> str:
    """Where a file stands while it is written; no reader of the folder takes it for data."""
    return join(dirname(path), f"_{basename(path)}.part")


def is_many(addresses: Sequence[str], output: str | None) -> bool:
    """Whether this is more than one file of this machine into another, or may be."""
    first = addresses[0]
    if len(addresses) > 1 or is_address(first) or os.path.isdir(first):
        return True
    if output is not None and (
        is_address(output) or output.endswith("/") or os.path.isdir(output)
    ):
        return True
    return _PATTERN.search(first) is not None and not os.path.exists(first)


def inputs(addresses: Sequence[str], output: Folder) -> list[Input]:
    """The files that were named, those of each address in the order of their names.

    Raises:
        UserError: If there is none, one has no known ending, two have one name, or the output's
            folder is among them.
    """
    found: list[Input] = []
    for address in addresses:
        listed = _listed(address, output)
        if not listed:
            raise UserError(f"there are no files {_shown(address)} named {some(KINDS)}")
        found += listed
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise UserError(f"expected files of different names, got {twice} twice")
    inside = next((one for one in found if one.path.startswith(output.path + "/")), None)
    if inside is not None:
        raise UserError(f"expected inputs outside of the folder of -o, got {inside.path}")
    return found


def _listed(address: str, output: Folder) -> list[Input]:
    place = Folder.of(address)
    info = place.files.get_file_info(place.path)
    if info.is_file:
        return [_input(place, info, dirname(place.path))]
    is_pattern = info.type == fs.FileType.NotFound and _PATTERN.search(place.path) is not None
    if not is_pattern and info.type == fs.FileType.NotFound:
        raise UserError(f"there is no file {_shown(address)}")
    base = place.path if not is_pattern else dirname(_PATTERN.split(place.path, maxsplit=1)[0])
    is_deep = not is_pattern or "**" in place.path
    if is_deep and f"{output.path}/".startswith(f"{base}/"):
        raise UserError(f"expected a folder for -o outside of {base}, got {output.path}")
    paths = _matching(place, base) if is_pattern else [join(base, name) for name in place.list()]
    known = sorted(path for path in paths if _is_data(relpath(path, base)))
    infos = place.files.get_file_info(known)
    return [_input(place, one, base) for one in infos if one.is_file]


def _matching(place: Folder, base: str) -> list[str]:
    from fsspec.implementations.arrow import ArrowFSWrapper

    # A pattern matches nothing where nothing can be read; this says why.
    with suppress(FileNotFoundError):
        place.files.get_file_info(fs.FileSelector(base))
    paths: list[str] = ArrowFSWrapper(place.files).glob(place.path)
    return paths


def _is_data(name: str) -> bool:
    is_hidden = any(part.startswith((".", "_")) for part in name.split("/"))
    return not is_hidden and name.lower().endswith(KINDS)


def _input(place: Folder, info: fs.FileInfo, base: str) -> Input:
    name = relpath(info.path, base)
    if not name.lower().endswith(KINDS):
        raise UserError(f"expected a file named {', '.join(KINDS)}, got {basename(info.path)}")
    return Input(place.address, info.path, name, info.size, info.mtime_ns)


def _shown(address: str) -> str:
    return shown(address) if is_address(address) else address


def _opened(address: str) -> tuple[fs.FileSystem, str]:
    try:
        return opened(address)
    except ValueError as error:
        raise UserError(str(error)) from error
