"""The density tables: families and floors on real sets, and other settings on some of them.

``python -m training.tables.density --data FOLDER --out docs/tables`` measures what is missing, a
cell at a time, and writes the tables again after each (``make density-table DATA=FOLDER``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from training.recipes import Recipe, read_recipe
from training.tables.cells import FAMILIES_MEASURED, measured_cell, missing
from training.tables.methods import flow, mixture
from training.tables.protocols import RNADE_FOLDS, SETS, TEN_FOLDS, Fold
from training.tables.results import Cell, append_cell, grid, newest, read_cells

FLOORS = {"Gaussian": 1, "GMM-20": 20}
# Most processor time of one fit, as the peers of the comparison had; folds of small sets get less.
MAX_SECONDS, MAX_SECONDS_OF_A_FOLD = 120.0, 20.0
CELLS, TABLE = "density.jsonl", "density.md"
FAMILY_METHODS = (*FLOORS, *FAMILIES_MEASURED)

# What the default recipe could have been; decision 0004.
CHOICES_TABLE = "choices.md"
# On these the fits are not ended by the time, of which a busy machine makes less.
CHOICE_SETS = ("power_plant", "higgs")
CHOICES = {
    "nsf, normal latents": ("family=nsf", "base=standard_normal"),
    "nsf_ar, normal latents": ("family=nsf_ar", "base=standard_normal"),
    "nsf_ar, learning rate 2e-3": ("family=nsf_ar", "learning_rate=2e-3"),
    "nsf_ar, learning rate 5e-3": ("family=nsf_ar", "learning_rate=5e-3"),
    "nsf_ar, 3 layers of 256": ("family=nsf_ar", "layers=3", "hidden=[256,256]"),
}
CHOICE_METHODS = ("nsf", "nsf_ar", *CHOICES)
METHODS = (*FAMILY_METHODS, *CHOICES)


def recipe_of(method: str, folds: int) -> Recipe | None:
    """The ``table`` recipe as it is, but for the family or choice and the time; of no floor."""
    if method in FLOORS:
        return None
    seconds = MAX_SECONDS if folds == 1 else MAX_SECONDS_OF_A_FOLD
    settings = CHOICES.get(method, (f"family={method}",))
    return read_recipe("table", [*settings, f"max_seconds={seconds}", "clock=processor"])


def measure(folder: Path, out: Path, sets: list[str], methods: list[str]) -> None:
    """Measure every cell that is not in the file yet."""
    for name in sets:
        folds = SETS[name](folder)
        for number, fold in enumerate(folds):
            for method in methods:
                if method in CHOICES and name not in CHOICE_SETS:
                    continue
                _measure_cell(out, (name, number, method), fold, len(folds))


def _measure_cell(out: Path, place: tuple[str, int, str], fold: Fold, folds: int) -> None:
    name, number, method = place
    recipe = recipe_of(method, folds)
    if not missing(out / CELLS, place, recipe):
        return
    measured = mixture(fold, FLOORS[method]) if recipe is None else flow(fold, recipe)
    cell = measured_cell(place, recipe, measured)
    append_cell(out / CELLS, cell)
    sys.stdout.write(f"{name} {number} {method}: {_nats(cell)} in {cell.seconds:.0f} s\n")
    sys.stdout.flush()
    cells = read_cells(out / CELLS)
    (out / TABLE).write_text(render(cells, FAMILY_METHODS, SETS))
    (out / CHOICES_TABLE).write_text(render(cells, CHOICE_METHODS, CHOICE_SETS))


def render(cells: list[Cell], methods: Sequence[str], sets: Iterable[str]) -> str:
    """The tables in Markdown: mean log-likelihood, worst rows, seconds and epochs."""
    kept = newest(cells)
    parts: dict[str, dict[str, dict[str, str]]] = {
        part: {} for part in ("nats", "worst", "seconds", "epochs")
    }
    for name in sets:
        for method in methods:
            folds = [cell for cell in kept if (cell.set, cell.method) == (name, method)]
            for part, text in _texts(folds, RNADE_FOLDS if name in TEN_FOLDS else 1).items():
                parts[part].setdefault(name, {})[method] = text
    return (
        "Mean test nats ± 2 standard errors, columns of unit variance:\n\n"
        + grid("method", methods, parts["nats"])
        + "\n\nThe least likely test row, nats:\n\n"
        + grid("method", methods, parts["worst"])
        + "\n\nSeconds of the fit (of all folds; of flows, of one processor):\n\n"
        + grid("method", methods, parts["seconds"])
        + "\n\nEpochs of the fit (mean of the folds); a busy machine does fewer in the time:\n\n"
        + grid("method", methods, parts["epochs"])
        + "\n"
    )


def _texts(folds: list[Cell], expected: int) -> dict[str, str]:
    if not folds:
        return {}
    count = len(folds)
    mean = sum(c.nats for c in folds) / count
    error = np.sqrt(sum(c.standard_error**2 for c in folds)) / count
    partial = "" if count == expected else f" ({count} of {expected} folds)"
    return {
        "nats": f"{mean:.2f} ± {2 * error:.2f}{partial}",
        "worst": f"{min(c.worst for c in folds):.0f}",
        "seconds": f"{sum(c.seconds for c in folds):.0f}",
        "epochs": f"{sum(c.epochs for c in folds) / count:.0f}" if folds[0].epochs else "–",
    }


def _nats(cell: Cell) -> str:
    return f"{cell.nats:.3f} ± {2 * cell.standard_error:.3f} nats, worst {cell.worst:.0f}"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    chosen = parser.parse_args()
    if not (chosen.data / "uci").is_dir():
        sys.exit(f"expected a folder with uci/ and adbench/ as --data, got {chosen.data}")
    measure(chosen.data, chosen.out, chosen.sets, chosen.methods)


if __name__ == "__main__":
    main()
