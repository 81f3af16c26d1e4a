"""Where bundles are: a folder of this machine, or one that is kept like an address elsewhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.stamps import Key
from service.storage.health import Health

POLICY_FILE = "serving.json"
MAX_POLICY_BYTES = 4096
_READABLE = 0o644


class Place(Protocol):
    """Where bundles are."""

    @property
    def root(self) -> Path:
        """The folder that holds ``NAME/VERSION``."""

    @property
    def health(self) -> Health | None:
        """How reading the address elsewhere goes; None where there is none."""

    @property
    def refused(self) -> Mapping[Key, str]:
        """Why a bundle did not even come into the folder, by name and version."""

    def start(self) -> None:
        """Have the bundles in the folder.

        Raises:
            StartError: If they cannot be had.
        """

    def refresh(self, at_once: bool = False) -> None:
        """Have in the folder what is to be there now; see :class:`service.storage.mirror.Mirror`.

        Args:
            at_once: Whether what may still be changing is taken as well.
        """

    def write(self, name: str, text: str) -> None:
        """Write the file that says which version of a name answers, all of it or nothing.

        Raises:
            OSError: If it cannot be written.
        """


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine, which is as it is."""

    root: Path

    @property
    def health(self) -> None:
        """See :class:`Place`."""

    @property
    def refused(self) -> Mapping[Key, str]:
        """See :class:`Place`."""
        return {}

    def start(self) -> None:
        """See :class:`Place`."""

    def refresh(self, at_once: bool = False) -> None:
        """See :class:`Place`."""

    def write(self, name: str, text: str) -> None:
        """See :class:`Place`."""
        replace_file(self.root / name / POLICY_FILE, text.encode())


def place_of(bundles: Path | str, cache: Path | None) -> Place:
    """What keeps the bundles of a setting at hand.

    Args:
        bundles: A folder, or an address elsewhere.
        cache: See :class:`service.config.ServiceConfig`.

    Raises:
        StartError: If an address cannot be opened or kept.
    """
    if isinstance(bundles, Path):
        return Folder(bundles)
    from service.storage.mirror import Mirror  # pyarrow, which a folder of this machine needs not

    return Mirror(bundles, cache or Path.home() / ".cache" / "logdet")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, all of it or nothing.

    Raises:
        OSError: If it cannot be written.
    """
    handle, draft = tempfile.mkstemp(prefix=".serving-", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _READABLE)
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
