"""How far a family's density is from a known one: Kullback and Leibler's divergence in nats.

``python -m training.tables.divergence --out docs/tables`` measures what is missing, a cell at a
time (``make toy-table``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from training.recipes import Recipe, read_recipe
from training.tables.cells import FAMILIES_MEASURED, measured_cell, missing
from training.tables.methods import Measured, flow, mixture
from training.tables.protocols import Fold
from training.tables.results import Cell, append_cell, grid, newest, read_cells
from training.tables.toys import TOYS

ROWS, TEST_ROWS, SEED = 20_000, 20_000, 0
MAX_SECONDS = 60.0
CELLS, TABLE = "divergence.jsonl", "divergence.md"
GAUSSIAN = "Gaussian"
METHODS = (GAUSSIAN, *FAMILIES_MEASURED)


def recipe_of(family: str) -> Recipe:
    """The ``table`` recipe as it is, but for the family and the time."""
    return read_recipe("table", [f"family={family}", f"max_seconds={MAX_SECONDS}"])


def measure(out: Path, toys: list[str], methods: list[str]) -> None:
    """Measure every cell that is not in the file yet, and write the table again after each."""
    for name in toys:
        for method in methods:
            recipe = None if method == GAUSSIAN else recipe_of(method)
            if not missing(out / CELLS, (name, 0, method), recipe):
                continue
            cell = _divergence(name, method, recipe)
            append_cell(out / CELLS, cell)
            error = 2 * cell.standard_error
            sys.stdout.write(f"{name} {method}: {cell.nats:.3f} ± {error:.3f} nats\n")
            sys.stdout.flush()
            (out / TABLE).write_text(render(read_cells(out / CELLS)))


def _divergence(name: str, method: str, recipe: Recipe | None) -> Cell:
    """The mean of log p − log q over fresh rows of p; both in the toy's own units."""
    fold = toy_fold(name)
    measured = mixture(fold, 1) if recipe is None else flow(fold, recipe)
    truth = TOYS[name].log_prob(fold.test)
    own_units = measured.nats - float(np.log(fold.scale).sum())
    gap = Measured(truth - own_units, measured.seconds, measured.epochs)
    return measured_cell((name, 0, method), recipe, gap)


def toy_fold(name: str) -> Fold:
    """Rows of a toy; a tenth of those fitted to validates."""
    rng = np.random.default_rng(SEED)
    rows = TOYS[name].draw(rng, ROWS + TEST_ROWS)
    train, validation, test = np.split(rows, [ROWS - ROWS // 10, ROWS])
    none = np.zeros_like(rows)
    noise = none[: len(train)], none[: len(validation)], none[: len(test)]
    fitted = rows[:ROWS]
    return Fold(train, validation, test, False, noise, fitted.mean(axis=0), fitted.std(axis=0))


def render(cells: list[Cell]) -> str:
    """The table in Markdown."""
    texts: dict[str, dict[str, str]] = {name: {} for name in TOYS}
    for cell in newest(cells):
        texts[cell.set][cell.method] = f"{cell.nats:.3f} ± {2 * cell.standard_error:.3f}"
    return (
        f"Divergence KL(p, q) in nats ± 2 standard errors over {TEST_ROWS:,} fresh rows of p, "
        f"after {ROWS:,} rows and at most {MAX_SECONDS:.0f} s of training:\n\n"
        + grid("q", METHODS, texts)
        + "\n"
    )


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    parser.add_argument("--toys", nargs="+", choices=TOYS, default=list(TOYS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    chosen = parser.parse_args()
    measure(chosen.out, chosen.toys, chosen.methods)


if __name__ == "__main__":
    main()
