"""Bundles of an address as a folder of this machine holds them, for all processes that share it.

``NAME/VERSION`` is a link to ``.bundles/DIGEST``, by the digest of the manifest: a bundle takes
the place of another in one step, and what one process has fetched no other fetches again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exported.artifact import BundleFile
from exported.bundle import names, versions
from exported.document import MANIFEST_FILE
from exported.errors import BundleInvalidError
from exported.kinds import AnyManifest
from service.stamps import Key

# Seconds for which a bundle that nothing leads to is kept: somebody may be reading it.
KEEP_S = 300.0
_CONTENT, _DRAFT, _LINK, _LOCK = ".bundles", ".draft-", ".link-", ".lock"

Fetch = Callable[[BundleFile], Iterator[bytes]]


class Kept:
    """What is here of an address.

    Args:
        root: The folder; made where it is missing.

    Raises:
        OSError: If it cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._content = root / _CONTENT
        self._content.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def alone(self, waits: bool) -> Iterator[bool]:
        """Keep other processes from changing the folder; False where one is at it."""
        with (self.root / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True

    def keys(self) -> set[Key]:
        """Names and versions that are here."""
        return {(name, v) for name in names(self.root) for v in versions(self.root, name)}

    def take(self, manifest: AnyManifest, described: bytes, fetch: Fetch) -> None:
        """Have a bundle in the place of its name and version; what is here is not fetched.

        Args:
            manifest: Of the bundle.
            described: The bytes of the manifest.
            fetch: Gives the content of a file.

        Raises:
            BundleInvalidError: If a file is not as the manifest says; nothing has changed then.
            OSError: If one cannot be had or written; likewise.
        """
        content = self._content / hashlib.sha256(described).hexdigest()
        if not _is_whole(content, manifest, described):
            self._fill(content, manifest, described, fetch)
        self._link(self.root / manifest.name / str(manifest.version), content)

    def drop(self, key: Key) -> None:
        """Have a version no longer."""
        link = self.root / key[0] / str(key[1])
        with suppress(FileNotFoundError):
            os.utime(link)  # of what it leads to, which is kept for a while
        link.unlink(missing_ok=True)
        with suppress(OSError):
            link.parent.rmdir()

    def sweep(self) -> None:
        """Delete what nothing leads to any more, and what a process that died has left."""
        used = {os.path.realpath(self.root / name / str(v)) for name, v in self.keys()}
        for folder in self._content.iterdir():
            is_draft = folder.name.startswith(_DRAFT)
            is_old = time.time() - folder.stat().st_mtime > KEEP_S
            if is_draft or (is_old and os.path.realpath(folder) not in used):
                shutil.rmtree(folder, ignore_errors=True)

    def _fill(self, final: Path, manifest: AnyManifest, described: bytes, fetch: Fetch) -> None:
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._content))
        try:
            for entry in manifest.files():
                held = self._held(entry)
                _write(draft / entry.file, entry, fetch(entry) if held is None else _read(held))
            (draft / MANIFEST_FILE).write_bytes(described)
            shutil.rmtree(final, ignore_errors=True)  # was here, and not whole
            draft.rename(final)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _held(self, entry: BundleFile) -> Path | None:
        """The same file in another bundle, as versions often share graphs."""
        for path in self._content.glob(f"[!.]*/{entry.file}"):
            if path.stat().st_size == entry.size_bytes and _digest(path) == entry.sha256:
                return path
        return None

    def _link(self, place: Path, content: Path) -> None:
        if os.path.realpath(place) == os.path.realpath(content):
            return
        with suppress(FileNotFoundError):
            os.utime(place)
        place.parent.mkdir(exist_ok=True)
        draft = place.with_name(f"{_LINK}{place.name}")
        draft.unlink(missing_ok=True)
        draft.symlink_to(os.path.relpath(content, place.parent))
        draft.replace(place)


def _is_whole(folder: Path, manifest: AnyManifest, described: bytes) -> bool:
    try:
        if (folder / MANIFEST_FILE).read_bytes() != described:
            return False
        return all(_digest(folder / entry.file) == entry.sha256 for entry in manifest.files())
    except OSError:
        return False


def _write(path: Path, entry: BundleFile, chunks: Iterator[bytes]) -> None:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    if (size, digest.hexdigest()) != (entry.size_bytes, entry.sha256):
        raise BundleInvalidError(
            f"{entry.file} is not the file the manifest describes (expected {entry.size_bytes} "
            f"bytes of sha256 {entry.sha256[:12]}..., got {size} bytes of sha256 "
            f"{digest.hexdigest()[:12]}...)"
        )


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            yield chunk


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
