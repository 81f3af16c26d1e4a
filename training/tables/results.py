"""Measured cells of a table in a file of JSON lines, so that an interrupted table goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cell:
    """One method on one fold of one set.

    Attributes:
        set: Its name.
        fold: From 0.
        method: Its name.
        settings: What else decides the numbers; a cell of other settings is measured again.
        nats: Mean over the test rows.
        standard_error: Of that mean.
        worst: Of the least likely test row.
        rows: Test rows.
        seconds: Time of the fit, by the recipe's clock.
        epochs: Of the fit.
    """

    set: str
    fold: int
    method: str
    settings: str
    nats: float
    standard_error: float
    worst: float
    rows: int
    seconds: float
    epochs: int

    def key(self) -> tuple[str, int, str, str]:
        """What makes two cells the same measurement."""
        return self.set, self.fold, self.method, self.settings


def read_cells(path: Path) -> list[Cell]:
    """Cells measured so far; none where there is no file."""
    if not path.is_file():
        return []
    return [Cell(**json.loads(line)) for line in path.read_text().splitlines() if line]


def newest(cells: list[Cell]) -> list[Cell]:
    """The last cell of each set, fold and method."""
    return list({(cell.set, cell.fold, cell.method): cell for cell in cells}.values())


def append_cell(path: Path, cell: Cell) -> None:
    """Add a cell to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(cell)) + "\n")


def grid(title: str, methods: Iterable[str], sets: dict[str, dict[str, str]]) -> str:
    """A table in Markdown: a row a method, a column a set; a dash where nothing is measured.

    Args:
        title: Of the first column.
        methods: Rows, in order.
        sets: Texts by set and method.
    """
    lines = [f"| {title} | {' | '.join(sets)} |", f"|---|{'--:|' * len(sets)}"]
    for method in methods:
        texts = [texts.get(method, "–") for texts in sets.values()]
        lines.append(f"| {method} | {' | '.join(texts)} |")
    return "\n".join(lines)
