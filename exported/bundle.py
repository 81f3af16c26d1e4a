"""Bundles on disk: ``ROOT/NAME/VERSION/``, written atomically, read with every byte checked.

Reading loads the whole bundle into memory (it is a few megabytes) so that what was verified is
what runs, whatever happens to the folder afterwards.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported.arrays import read_arrays
from exported.artifact import NAME_PATTERN, BundleFile
from exported.calibration import Calibration
from exported.calibration_file import calibration_of, scorer_of
from exported.document import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    dump_manifest,
    parse_manifest,
)
from exported.errors import BundleExistsError, BundleInvalidError, BundleNotFoundError
from exported.kinds import AnyManifest, expect_flow
from exported.latents import ARRAY, LatentMoments
from exported.manifest import Manifest
from exported.scores import Scorer

MAX_FILE_BYTES = 256 * 2**20
MAX_BUNDLE_BYTES = 1024 * 2**20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle held in memory.

    Attributes:
        manifest: What it is.
        contents: Bytes of every file the manifest lists, by file name.
    """

    manifest: AnyManifest
    contents: Mapping[str, bytes]

    def graph(self, name: str) -> bytes:
        """The ONNX bytes of a graph."""
        return self.contents[self.manifest.graphs[name].artifact.file]

    def golden(self) -> dict[str, NDArray[np.generic]]:
        """The golden arrays; see :mod:`exported.golden`."""
        return read_arrays(self.contents[self.manifest.golden.file])

    def calibration(self) -> Calibration:
        """The calibration scores."""
        return self.calibrations()[self.manifest.SCORES]

    def calibrations(self) -> dict[str, Calibration]:
        """The calibration scores of each score, the first and those beside it."""
        summary = self.manifest.calibration
        arrays = read_arrays(self.contents[summary.artifact.file])
        names = (self.manifest.SCORES, *summary.scores)
        return {name: calibration_of(summary, arrays, name) for name in names}

    def scorer(self) -> Scorer:
        """What gives the scores of a flow beside its log-density."""
        manifest = expect_flow(self.manifest)
        arrays = read_arrays(self.contents[manifest.calibration.artifact.file])
        return scorer_of(manifest, arrays)

    def latents(self) -> LatentMoments | None:
        """What the latents of the calibration rows are like; None where that is not told.

        Raises:
            BundleInvalidError: If it is not as the manifest says, or no flow.
        """
        rows = self.manifest.calibration.latent_rows
        if rows is None:
            return None
        latents = expect_flow(self.manifest).latent_features
        arrays = read_arrays(self.contents[self.manifest.calibration.artifact.file])
        return LatentMoments.of_array(rows, arrays.get(ARRAY), latents)


def describe_file(name: str, content: bytes) -> BundleFile:
    """The manifest's entry for a file."""
    return BundleFile(
        file=name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )


def versions(root: Path, name: str) -> list[int]:
    """Published versions of a name, ascending; half-written ones are never listed."""
    folder = root / name
    if not re.fullmatch(NAME_PATTERN, name) or not folder.is_dir():
        return []
    folders = (p for p in folder.iterdir() if re.fullmatch(r"[1-9][0-9]{0,9}", p.name))
    return sorted(int(p.name) for p in folders if p.is_dir())


def names(root: Path) -> list[str]:
    """Names with at least one version under a root, sorted."""
    if not root.is_dir():
        return []
    return sorted(p.name for p in root.iterdir() if versions(root, p.name))


def locate(root: Path, name: str, version: int | None = None) -> Path:
    """The folder of a bundle; the newest version if none is given.

    Raises:
        BundleNotFoundError: With the names or versions that there are.
    """
    known = versions(root, name)
    if not known:
        listed = ", ".join(names(root)) or "none"
        raise BundleNotFoundError(f"no bundle named {name!r} under {root}; there are: {listed}")
    if version is None:
        return root / name / str(known[-1])
    if version not in known:
        listed = ", ".join(map(str, known))
        raise BundleNotFoundError(f"{name} has no version {version}; it has: {listed}")
    return root / name / str(version)


def read_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle.

    Raises:
        BundleNotFoundError: If there is no manifest.
        BundleInvalidError: If anything at all is not as the manifest says.
    """
    manifest = read_manifest(folder)
    _check_place(folder, manifest)
    total = sum(entry.size_bytes for entry in manifest.files())
    if total > MAX_BUNDLE_BYTES:
        raise BundleInvalidError(f"bundle has {total} bytes, at most {MAX_BUNDLE_BYTES} are read")
    contents = {entry.file: _read_pinned(folder, entry) for entry in manifest.files()}
    return Bundle(manifest, contents)


def read_manifest(folder: Path) -> AnyManifest:
    """Read only the manifest; the files it lists are not checked.

    Raises:
        BundleNotFoundError: If there is none.
        BundleInvalidError: If it is not a manifest that this reader understands.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise BundleNotFoundError(f"no {MANIFEST_FILE} in {folder}")
    return parse_manifest(_read_bounded(path, MAX_MANIFEST_BYTES))


def write_bundle(root: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Path:
    """Publish a bundle: all of it appears under its final name, or nothing does.

    Args:
        root: Folder that holds ``NAME/VERSION``.
        manifest: Describes exactly ``contents``.
        contents: Bytes by file name.

    Raises:
        BundleExistsError: If the version is already there.
        BundleInvalidError: If contents and manifest do not match.
        OSError: If the disk does not take it, with the folder that was to appear.
    """
    described = _checked(manifest, contents)
    parent = root / manifest.name
    final = parent / str(manifest.version)
    if final.exists():
        raise BundleExistsError(f"{manifest.name}/{manifest.version} is already published")
    parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
    try:
        for entry in manifest.files():
            _write_durably(draft / entry.file, contents[entry.file])
        _write_durably(draft / MANIFEST_FILE, described)
        draft.chmod(0o755)
        _publish(draft, final)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(final)  # a disk that is full does not say which
        raise
    return final


def _checked(manifest: Manifest, contents: Mapping[str, bytes]) -> bytes:
    listed = {entry.file for entry in manifest.files()}
    if extra := sorted(set(contents) - listed):
        raise BundleInvalidError(f"the manifest does not list {extra[0]}")
    for entry in manifest.files():
        content = contents.get(entry.file)
        if not content or describe_file(entry.file, content) != entry:
            raise BundleInvalidError(f"{entry.file} is not what the manifest describes")
        if entry.size_bytes > MAX_FILE_BYTES:
            raise _too_large(entry.file, entry.size_bytes, MAX_FILE_BYTES)
    return dump_manifest(manifest)


def _publish(draft: Path, final: Path) -> None:
    try:
        draft.rename(final)
    except OSError as error:
        if final.exists():  # another writer was faster
            raise BundleExistsError(
                f"{final.parent.name}/{final.name} is already published"
            ) from error
        raise


def _check_place(folder: Path, manifest: Manifest) -> None:
    # Not resolved: a volume may mount a version through a link of another name.
    place = Path(os.path.abspath(folder))
    got, expected = f"{place.parent.name}/{place.name}", f"{manifest.name}/{manifest.version}"
    if got != expected:
        raise BundleInvalidError(f"the folder {got} holds {expected} and must be named so")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_pinned(folder: Path, entry: BundleFile) -> bytes:
    path = folder / entry.file
    if path.is_symlink() or path.resolve().parent != folder.resolve():
        raise BundleInvalidError(f"{entry.file} leads out of the bundle")
    if not path.is_file():
        raise BundleInvalidError(f"{entry.file} is missing")
    content = _read_bounded(path, MAX_FILE_BYTES)
    got = hashlib.sha256(content).hexdigest()
    if (len(content), got) != (entry.size_bytes, entry.sha256):
        raise BundleInvalidError(
            f"{entry.file} is not the file the manifest describes "
            f"(expected {entry.size_bytes} bytes of sha256 {entry.sha256[:12]}..., "
            f"got {len(content)} bytes of sha256 {got[:12]}...)"
        )
    return content


def _read_bounded(path: Path, limit: int) -> bytes:
    size = path.stat().st_size
    if size > limit:
        raise _too_large(path.name, size, limit)
    with path.open("rb") as file:
        return file.read(limit)


def _too_large(name: str, size: int, limit: int) -> BundleInvalidError:
    return BundleInvalidError(f"{name} has {size} bytes, at most {limit} are read")
