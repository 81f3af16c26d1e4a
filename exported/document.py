"""The manifest as bytes: JSON read strictly, so that every reader understands the same thing.

Python's JSON reader takes NaN, infinities and repeated keys, and pydantic turns text into numbers
where it can; none of that is the format.
"""

from __future__ import annotations

import json
import math

from pydantic import ValidationError

from exported.errors import BundleInvalidError
from exported.kinds import MANIFEST, AnyManifest
from exported.manifest import FORMAT_VERSION, Manifest

MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 4 * 2**20


def parse_manifest(content: bytes) -> AnyManifest:
    """The manifest that a document describes, of the kind that its density says.

    Raises:
        BundleInvalidError: If it is not a manifest that this reader understands.
    """
    _check_json(content)
    try:
        return MANIFEST.validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        # What comes before the field is the density, by which the kind was told.
        where = ".".join(map(str, first["loc"][1:])) or "manifest"
        raise BundleInvalidError(f"{MANIFEST_FILE}: {where}: {first['msg']}") from error


def dump_manifest(manifest: Manifest) -> bytes:
    """The document of a manifest.

    Raises:
        BundleInvalidError: If a reader would refuse it.
    """
    content = manifest.model_dump_json(indent=2).encode() + b"\n"
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleInvalidError(
            f"{MANIFEST_FILE} has {len(content)} bytes, at most {MAX_MANIFEST_BYTES} are read"
        )
    parse_manifest(content)
    return content


def _check_json(content: bytes) -> None:
    try:
        raw = json.loads(
            content.decode(),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_duplicates,
        )
    except (ValueError, RecursionError) as error:
        raise BundleInvalidError(f"{MANIFEST_FILE} is not JSON: {error}") from error
    got = raw.get("format_version") if isinstance(raw, dict) else None
    if type(got) is not int or got != FORMAT_VERSION:
        raise BundleInvalidError(
            f"{MANIFEST_FILE} has format_version {got!r}; this reader knows {FORMAT_VERSION}"
        )


def _refuse_constant(text: str) -> float:
    raise BundleInvalidError(f"{MANIFEST_FILE} holds {text}, which JSON does not have")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BundleInvalidError(f"{MANIFEST_FILE} holds {text[:40]}, which is no finite float64")
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise BundleInvalidError(f"{MANIFEST_FILE} holds the key {twice!r} twice in one object")
    return values
