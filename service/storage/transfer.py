"""Bundles from an address and to it: what is checked before a file is fetched, and the order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from exported.artifact import BundleFile
from exported.bundle import MAX_BUNDLE_BYTES, MAX_FILE_BYTES, read_bundle, write_bundle
from exported.document import MANIFEST_FILE, MAX_MANIFEST_BYTES, parse_manifest
from exported.errors import BundleExistsError, BundleInvalidError, BundleNotFoundError
from exported.kinds import AnyManifest
from service.errors import StartError
from service.stamps import Key
from service.storage.bucket import Bucket, Files, open_bucket, readable


def describe(bucket: Bucket, key: Key, files: Files) -> tuple[bytes, AnyManifest]:
    """The manifest of a bundle whose files are all there, of the sizes that it tells.

    Raises:
        BundleInvalidError: If it is none that may be here, or a file cannot be what it describes.
        OSError: If it cannot be read.
    """
    if MANIFEST_FILE not in files:
        raise BundleInvalidError(f"{MANIFEST_FILE} is missing")
    described = bucket.read(path_of(key, MANIFEST_FILE), MAX_MANIFEST_BYTES)
    manifest = parse_manifest(described)
    if (manifest.name, manifest.version) != key:
        raise BundleInvalidError(
            f"it holds {manifest.name}/{manifest.version} and must be named so"
        )
    total = sum(entry.size_bytes for entry in manifest.files())
    if total > MAX_BUNDLE_BYTES:
        raise BundleInvalidError(f"bundle has {total} bytes, at most {MAX_BUNDLE_BYTES} are read")
    for entry in manifest.files():
        _check(entry, files)
    return described, manifest


def content(bucket: Bucket, key: Key, entry: BundleFile) -> Iterator[bytes]:
    """A file in pieces; not yet compared with its digest.

    Raises:
        OSError: If it cannot be read.
    """
    # One byte more than there should be, so that a file that grew is not taken for its start.
    return bucket.chunks(path_of(key, entry.file), entry.size_bytes + 1)


def push(folder: Path, address: str) -> str:
    """Publish a bundle at an address, its manifest last; where it is then.

    Args:
        folder: Of the bundle, ``NAME/VERSION``.
        address: Such as ``s3://bucket/prefix``.

    Raises:
        BundleError: If the bundle does not hold, or the version is there already.
        StartError: If the address cannot be opened or written.
    """
    bundle, described = read_bundle(folder), (folder / MANIFEST_FILE).read_bytes()
    manifest = parse_manifest(described)
    if manifest != bundle.manifest:
        raise BundleInvalidError(f"{folder} changed while it was read")
    key, bucket = (manifest.name, manifest.version), open_bucket(address)
    with _writable(bucket):
        if MANIFEST_FILE in bucket.find().bundles.get(key, {}):
            raise BundleExistsError(f"{key[0]}/{key[1]} is already published at {bucket.shown}")
        for entry in manifest.files():
            bucket.write(path_of(key, entry.file), bundle.contents[entry.file])
        bucket.write(path_of(key, MANIFEST_FILE), described)
    return f"{bucket.shown}/{key[0]}/{key[1]}"


def pull(address: str, name: str, version: int | None, root: Path) -> Path:
    """Bring a bundle from an address into a folder; where it is then.

    Args:
        address: Such as ``s3://bucket/prefix``.
        name: Of the bundle.
        version: The newest if none is given.
        root: Folder that holds ``NAME/VERSION``.

    Raises:
        BundleError: If there is no such bundle, it does not hold, or it is here already.
        StartError: If the address cannot be opened or read.
        OSError: If it cannot be written here.
    """
    bucket = open_bucket(address)
    with readable(bucket):
        there = bucket.some().bundles
        key = _chosen(there, name, version)
        _, manifest = describe(bucket, key, there[key])
        contents = {
            entry.file: b"".join(content(bucket, key, entry)) for entry in manifest.files()
        }
    return write_bundle(root, manifest, contents)


def path_of(key: Key, file: str) -> str:
    """Of a file of a bundle, under an address."""
    return f"{key[0]}/{key[1]}/{file}"


def _chosen(there: Mapping[Key, Files], name: str, version: int | None) -> Key:
    known = sorted(number for other, number in there if other == name)
    if not known:
        listed = ", ".join(sorted({other for other, _ in there}))
        raise BundleNotFoundError(f"no bundle is named {name!r} there; there are: {listed}")
    if version is not None and version not in known:
        listed = ", ".join(map(str, known))
        raise BundleNotFoundError(f"{name} has no version {version} there; it has: {listed}")
    return name, known[-1] if version is None else version


def _check(entry: BundleFile, files: Files) -> None:
    """Refuse a file that cannot be what the manifest describes, before any of it is fetched."""
    if entry.size_bytes > MAX_FILE_BYTES:
        raise BundleInvalidError(
            f"{entry.file} has {entry.size_bytes} bytes, at most {MAX_FILE_BYTES} are read"
        )
    if entry.file not in files:
        raise BundleInvalidError(f"{entry.file} is missing")
    size = files[entry.file][0]
    if size != entry.size_bytes:
        raise BundleInvalidError(
            f"{entry.file} is not the file the manifest describes "
            f"(expected {entry.size_bytes} bytes, got {size})"
        )


@contextmanager
def _writable(bucket: Bucket) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = " ".join((error.strerror or str(error)).split())
        raise StartError(f"cannot publish at {bucket.shown}: {why}") from error
