"""What lies at an address: the files of each bundle, and which version of a name is to answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.fs as fs

from exported.errors import BundleInvalidError
from service.errors import StartError
from service.place import POLICY_FILE
from service.stamps import Key
from service.storage.address import opened, shown

# NAME/VERSION/FILE, as manifests may name them; whatever else lies there is not looked at.
_FILE = re.compile(
    r"([a-z0-9][a-z0-9_-]{0,63})/([1-9][0-9]{0,9})/([A-Za-z0-9][A-Za-z0-9._-]{0,127})"
)
_POLICY = re.compile(rf"([a-z0-9][a-z0-9_-]{{0,63}})/{re.escape(POLICY_FILE)}")
_CHUNK_BYTES = 2**20

# Bytes and time of change of each file of a bundle; the time is None where that is not told.
Files = Mapping[str, tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class Found:
    """What lies there.

    Attributes:
        bundles: Files by name and version.
        policies: Names that have a file which says what answers.
    """

    bundles: Mapping[Key, Files] = field(default_factory=dict)
    policies: frozenset[str] = frozenset()


class Bucket:
    """Reads and writes what lies under one address.

    Args:
        address: Such as ``s3://bucket/prefix``.

    Raises:
        OSError: If the region of a bucket is not told and cannot be found out.
        ValueError: If nothing here opens it.
    """

    def __init__(self, address: str) -> None:
        self.shown = shown(address).rstrip("/")
        self._files, path = opened(address)
        self._base = path.rstrip("/")

    def find(self) -> Found:
        """What lies there now.

        Raises:
            OSError: If it cannot be reached.
        """
        try:
            with _told():
                infos = self._files.get_file_info(fs.FileSelector(self._base, recursive=True))
        except FileNotFoundError:  # nothing has that prefix; a bucket that is missing is another
            return Found()
        bundles: dict[Key, dict[str, tuple[int, int | None]]] = {}
        policies = set()
        for info in infos:
            path = info.path.removeprefix(self._base).lstrip("/")
            if info.is_file and (match := _FILE.fullmatch(path)):
                name, version, file = match.groups()
                bundles.setdefault((name, int(version)), {})[file] = info.size, info.mtime_ns
            elif info.is_file and (match := _POLICY.fullmatch(path)):
                policies.add(match[1])
        return Found(bundles, frozenset(policies))

    def some(self) -> Found:
        """The same.

        Raises:
            OSError: Also if there is no bundle, as where a disk is away.
        """
        found = self.find()
        if not found.bundles:
            raise FileNotFoundError("there are no bundles")
        return found

    def read(self, path: str, limit: int) -> bytes:
        """All of a small file.

        Raises:
            BundleInvalidError: If it is larger than the limit.
            OSError: If it cannot be read.
        """
        content = b"".join(self.chunks(path, limit + 1))
        if len(content) > limit:
            raise BundleInvalidError(f"{path} has more than {limit} bytes, at most that are read")
        return content

    def chunks(self, path: str, most: int) -> Iterator[bytes]:
        """A file in pieces, no more than so many bytes of it.

        Raises:
            OSError: If it cannot be read.
        """
        with _told(), self._files.open_input_stream(f"{self._base}/{path}") as stream:
            while most > 0 and (chunk := stream.read(min(_CHUNK_BYTES, most))):
                most -= len(chunk)
                yield chunk

    def write(self, path: str, content: bytes) -> None:
        """Put a file in place of what is there.

        Raises:
            OSError: If it cannot be written.
        """
        with _told():
            full = f"{self._base}/{path}"
            if isinstance(self._files, fs.LocalFileSystem):  # others have no folders
                self._files.create_dir(full.rpartition("/")[0])
            with self._files.open_output_stream(full) as stream:
                stream.write(content)


@contextmanager
def readable(bucket: Bucket) -> Iterator[None]:
    """For who cannot begin without what lies there.

    Raises:
        StartError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise _unreadable(bucket.shown, error) from error


def open_bucket(address: str) -> Bucket:
    """What lies at an address.

    Raises:
        StartError: If nothing here opens it, or its region cannot be found out.
    """
    try:
        return Bucket(address)
    except ValueError as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise _unreadable(shown(address), error) from error


def refuse_nothing(address: str) -> None:
    """Find out early that there is nothing to serve.

    Raises:
        StartError: If the address cannot be read, or there are no bundles.
    """
    bucket = open_bucket(address)
    with readable(bucket):
        bucket.some()


def _unreadable(where: str, error: OSError) -> StartError:
    why = " ".join((error.strerror or str(error)).split())
    return StartError(f"cannot read the bundles at {where}: {why}")


@contextmanager
def _told() -> Iterator[None]:
    """What pyarrow raises of its own as the error of a file that it is."""
    try:
        yield
    except pa.ArrowException as error:
        if isinstance(error, OSError):
            raise
        raise OSError(str(error)) from error
