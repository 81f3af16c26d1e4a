"""Exported graphs kept between runs, as long as what made them is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import training


class Shelf:
    """A folder of graphs for this state of the modules that make them.

    Args:
        root: Holds a folder for each state.
    """

    def __init__(self, root: Path) -> None:
        here = Path(__file__).parent
        sources = [here / "ours.py", here / "libraries.py"]
        sources += Path(training.__path__[0]).rglob("*.py")
        digest = hashlib.sha256()
        for path in sorted(sources):
            digest.update(path.read_bytes())
        self.folder = root / digest.hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def graph(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The graph of a name, made where it is not there yet."""
        path = self.folder / f"{name}.onnx"
        if not path.exists():
            draft = path.with_suffix(".draft")
            draft.write_bytes(make())
            draft.rename(path)
        return path.read_bytes()
