"""How the bundles of a folder look from outside, for whoever follows their changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from exported.bundle import names, versions

Key = tuple[str, int]
# Where a bundle really is, and name, bytes and time of change of each of its files.
Stamp = tuple[str, tuple[tuple[str, int, int], ...]]


def stamps(root: Path) -> Mapping[Key, Stamp]:
    """How every bundle under a root looks from outside."""
    found: dict[Key, Stamp] = {}
    for name in names(root):
        for version in versions(root, name):
            folder = root / name / str(version)
            try:
                told = (
                    (file.name, (stat := file.stat()).st_size, stat.st_mtime_ns)
                    for file in sorted(folder.iterdir())
                )
                found[name, version] = os.path.realpath(folder), tuple(told)
            except FileNotFoundError:  # it went away while it was looked at
                continue
    return found
