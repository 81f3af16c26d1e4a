"""One cell of a table: which are missing, and what is kept of a measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.recipes import FAMILIES, Recipe
from training.tables.methods import Measured
from training.tables.results import Cell, read_cells

# Images are not tables, and of mixtures of layers there are as many as there are recipes.
_LEFT_OUT = ("glow", "mixed")
FAMILIES_MEASURED = tuple(family for family in FAMILIES if family not in _LEFT_OUT)

Place = tuple[str, int, str]


def missing(path: Path, place: Place, recipe: Recipe | None) -> bool:
    """Whether the file lacks the cell of a set, fold and method with these settings."""
    return (*place, _settings(recipe)) not in {cell.key() for cell in read_cells(path)}


def measured_cell(place: Place, recipe: Recipe | None, measured: Measured) -> Cell:
    """The cell of a measurement."""
    nats = measured.nats
    return Cell(
        *place,
        settings=_settings(recipe),
        nats=float(nats.mean()),
        standard_error=float(nats.std(ddof=1) / np.sqrt(len(nats))),
        worst=float(nats.min()),
        rows=len(nats),
        seconds=round(measured.seconds, 1),
        epochs=measured.epochs,
    )


def _settings(recipe: Recipe | None) -> str:
    """What of a recipe decides the numbers; nothing of a mixture."""
    return "" if recipe is None else recipe.model_dump_json(include={"seed", "model", "fit"})
