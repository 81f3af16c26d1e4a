"""The page of the anomaly table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from exported.scores import LOG_PROB
from training.tables.anomaly_cells import Cell
from training.tables.anomaly_flow import CHOICES, RECIPE, recipe_of, settings_of
from training.tables.anomaly_sets import CHOSEN_ON, SETS
from training.tables.results import grid

# Of the published columns, those shown for every set: the best and the other flow.
SHOWN = ("DTE-NP", "KNN", "DTE-C", "LOF", "PlanarFlow")
Published = Mapping[str, Mapping[str, float]]
# By row of the page and set, what was measured with each seed.
Measured = dict[str, dict[str, list[float]]]


def render(cells: Sequence[Cell], published: Published) -> str:
    """The tables in Markdown."""
    kept = _kept(cells)
    auroc = _by_row(kept, lambda cell: cell.auroc)
    precision = _by_row(kept, lambda cell: cell.average_precision)
    return (
        "Semi-supervised: the first half of each set's normal rows trains, all others are tested. "
        "Percent, mean of the seeds ± their standard deviation; AUROC is the area under the "
        "receiver operating characteristic, AP the area under precision and recall.\n\n"
        "Means over the sets, best first; a method's rank among all rows here is averaged over "
        f"the sets:\n\n{_means(auroc, precision, published)}\n\n"
        f"AUROC by set:\n\n{_auroc(auroc, published)}\n\n"
        f"AP by set:\n\n{grid('set', SETS, _texts(precision))}\n\n"
        f"Seconds of one processor, by set, mean of the seeds:\n\n{_seconds(kept)}\n\n"
        f"Sizes (of the first seed):\n\n{_sizes(kept)}\n"
    )


def render_choices(cells: Sequence[Cell], published: Published) -> str:
    """The table of what the recipe could have been in Markdown: AUROC by log_prob."""
    today = [c for c in cells if c.settings == settings_of(recipe_of(c.method, c.seed))]
    found = {(c.method, c.set): 100 * c.auroc[LOG_PROB] for c in today}
    values = {
        method: {name: found[method, name] for name in CHOSEN_ON if (method, name) in found}
        for method in (RECIPE, *CHOICES)
    }
    for name in SHOWN:
        if name in published:
            values[f"published {name}"] = {s: published[name][s.lower()] for s in CHOSEN_ON}
    columns = {
        name: {row: f"{of[name]:.2f}" for row, of in values.items() if name in of}
        for name in CHOSEN_ON
    }
    columns["mean"] = {
        row: f"{np.mean(list(of.values())):.2f}"
        for row, of in values.items()
        if len(of) == len(CHOSEN_ON)
    }
    return (
        "AUROC by log_prob in percent, seed 0, on sets that the anomaly table leaves out; "
        "rows differ from the recipe in what they name:\n\n"
        + grid("recipe", values, columns)
        + "\n"
    )


def _kept(cells: Sequence[Cell]) -> list[Cell]:
    """The newest cell of each set, seed and method; of flows those of today's recipe."""
    return list(
        {
            (cell.set, cell.seed, cell.method): cell
            for cell in cells
            if cell.set in SETS
            and (
                cell.method != RECIPE or cell.settings == settings_of(recipe_of(RECIPE, cell.seed))
            )
        }.values()
    )


def _by_row(cells: Sequence[Cell], of: Callable[[Cell], Mapping[str, float]]) -> Measured:
    found: Measured = {}
    for cell in cells:
        for name, value in of(cell).items():
            row = f"{RECIPE}: {name}" if cell.method == RECIPE else name
            found.setdefault(row, {}).setdefault(cell.set, []).append(value)
    return found


def _auroc(auroc: Measured, published: Published) -> str:
    """What was measured, the best of what is published, and how far the recipe is ahead."""
    shown = {name: published[name] for name in SHOWN if name in published}
    ours = auroc.get(f"{RECIPE}: {LOG_PROB}", {})
    ahead = {
        f"{LOG_PROB} minus {rival}": {
            name: f"{100 * np.mean(values) - of[name.lower()]:+.2f}"
            for name, values in ours.items()
        }
        for rival, of in list(shown.items())[:1]
    }
    columns = {
        f"published {row}": {name: f"{values[name.lower()]:.2f}" for name in SETS}
        for row, values in shown.items()
    }
    return grid("set", SETS, {**_texts(auroc), **columns, **ahead})


def _texts(measured: Measured) -> dict[str, dict[str, str]]:
    return {
        row: {
            name: f"{100 * np.mean(values):.2f} ± {100 * np.std(values):.2f}"
            for name, values in sets.items()
        }
        for row, sets in measured.items()
    }


def _seconds(cells: Sequence[Cell]) -> str:
    times: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        for what, seconds in (("train", cell.train_s), ("score", cell.score_s)):
            of_method = times.setdefault(f"{cell.method}, {what}", {})
            of_method.setdefault(cell.set, []).append(seconds)
    columns = {
        title: {name: f"{np.mean(values):.2f}" for name, values in sets.items()}
        for title, sets in times.items()
    }
    return grid("set", SETS, columns)


def _means(auroc: Measured, precision: Measured, published: Published) -> str:
    """Methods measured on all sets, by their mean AUROC."""
    of_set = {
        row: {name: 100 * float(np.mean(v)) for name, v in sets.items()}
        for row, sets in auroc.items()
    }
    for row, values in published.items():
        of_set[f"published {row}"] = {name: values[name.lower()] for name in SETS}
    whole = [row for row, sets in of_set.items() if len(sets) == len(SETS)]
    ranks = _ranks([[of_set[row][name] for name in SETS] for row in whole])
    means = {row: float(np.mean(list(of_set[row].values()))) for row in of_set}
    order = sorted(whole, key=lambda row: -means[row])
    columns: dict[str, dict[str, str]] = {"AUROC": {}, "rank": {}, "AP": {}, "seeds": {}}
    for row, rank in zip(whole, ranks, strict=True):
        columns["AUROC"][row] = f"{means[row]:.2f}"
        columns["rank"][row] = f"{rank:.1f}"
        if row in precision:
            per_set = [np.mean(values) for values in precision[row].values()]
            columns["AP"][row] = f"{100 * np.mean(per_set):.2f}"
            columns["seeds"][row] = str(min(map(len, precision[row].values())))
    return grid("method", order, columns)


def _ranks(values: Sequence[Sequence[float]]) -> list[float]:
    """Mean rank of each row over the columns, 1 the largest; ties share theirs."""
    if not values:
        return []
    table = np.array(values)
    larger = (table[None] > table[:, None]).sum(axis=1)
    ties = (table[None] == table[:, None]).sum(axis=1)
    return [float(rank) for rank in (larger + 0.5 * (ties + 1)).mean(axis=1)]


def _sizes(cells: Sequence[Cell]) -> str:
    first = {cell.set: cell for cell in reversed(cells)}
    columns = {
        title: {name: f"{getattr(cell, field):,}" for name, cell in first.items()}
        for title, field in (
            ("columns", "features"),
            ("trained on", "rows"),
            ("tested", "tested"),
            ("of these anomalies", "anomalies"),
        )
    }
    return grid("set", SETS, columns)
