"""Names, versions, digests and files of bundles, as manifests write them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from exported.frozen import Frozen

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_VERSION = 9_999_999_999

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BundleFile(Frozen):
    """A file of the bundle, pinned by content.

    Attributes:
        file: Name inside the bundle's own folder, never a path.
        sha256: Hex digest of the content.
        size_bytes: Exact length of the content.
    """

    file: FileName
    sha256: Sha256
    size_bytes: int = Field(gt=0)
