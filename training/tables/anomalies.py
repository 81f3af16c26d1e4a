"""The anomaly table: the recipe ``anomalies`` on labelled sets, beside other detectors.

``python -m training.tables.anomalies --data FOLDER --out docs/tables`` measures what is missing, a
cell at a time, and writes the page again after each (``make anomaly-table DATA=FOLDER``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from training.tables.anomaly_cells import Place, append_cell, cell_of, read_cells
from training.tables.anomaly_flow import CHOICES, RECIPE, recipe_of, scored, settings_of
from training.tables.anomaly_page import render, render_choices
from training.tables.anomaly_sets import CHOSEN_ON, SETS, Task, read_published, read_task
from training.tables.detectors import DETECTORS, detected, why_not

CELLS, TABLE = "anomalies.jsonl", "anomalies.md"
CHOICES_CELLS, CHOICES_TABLE = "anomaly-choices.jsonl", "anomaly-choices.md"
METHODS = (RECIPE, *DETECTORS)
SEEDS = 5


def measure(
    folder: Path, out: Path, sets: list[str], seeds: list[int], methods: list[str]
) -> None:
    """Measure every cell that is not in the file yet; the page is written again after each."""
    for seed in seeds:
        for name in sets:
            task = read_task(folder, name, seed)
            for method in methods:
                _measure(out / CELLS, (name, seed, method), task)
                page = render(read_cells(out / CELLS), read_published(folder))
                (out / TABLE).write_text(page)


def measure_choices(folder: Path, out: Path) -> None:
    """The same of what the recipe could have been, on the sets that it was chosen on."""
    for name in CHOSEN_ON:
        task = read_task(folder, name, 0)
        for method in (RECIPE, *CHOICES):
            _measure(out / CHOICES_CELLS, (name, 0, method), task)
            page = render_choices(read_cells(out / CHOICES_CELLS), read_published(folder))
            (out / CHOICES_TABLE).write_text(page)


def _measure(path: Path, place: Place, task: Task) -> None:
    _, seed, method = place
    recipe = None if method in DETECTORS else recipe_of(method, seed)
    settings = "" if recipe is None else settings_of(recipe)
    if (*place, settings) in {cell.key() for cell in read_cells(path)}:
        return
    if recipe is None:
        found = detected(method, task.train, task.test, seed)
    else:
        found = scored(task, recipe)
    cell = cell_of(place, settings, task, found)
    append_cell(path, cell)
    sys.stdout.write(f"{place}: {cell.auroc} in {cell.train_s:.1f} + {cell.score_s:.1f} s\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--choices",
        action="store_true",
        help="measure what the recipe could have been, on the sets that it was chosen on",
    )
    chosen = parser.parse_args()
    if not (chosen.data / "adbench").is_dir():
        sys.exit(f"expected a folder with adbench/ as --data, got {chosen.data}")
    torch.set_num_threads(1)
    if chosen.choices:
        measure_choices(chosen.data, chosen.out)
        return
    methods = []
    for method in chosen.methods:
        if reason := why_not(method):
            sys.stdout.write(f"{method} is left out: {reason}\n")
        else:
            methods.append(method)
    measure(chosen.data, chosen.out, chosen.sets, chosen.seeds, methods)


if __name__ == "__main__":
    main()
