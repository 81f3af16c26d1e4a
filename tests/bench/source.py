"""A digest of what is measured: the graph and the code that serves it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tests.engines import ROOT

_SERVED = ("service", "exported")
_COMPARED = ("tests/bench/bare.py", "tests/bench/plain_ray.py", "tests/bench/bodies.py")


def digest(graph: Path, *others: Path) -> str:
    """Sixteen hexadecimal digits; other files change it as well."""
    ours = sorted(file for room in _SERVED for file in (ROOT / room).rglob("*.py"))
    return _digest([graph, *ours, *(ROOT / name for name in _COMPARED), *others])


def _digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]
