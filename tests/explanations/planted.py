"""How often an explanation names the feature in which an anomaly was planted.

``python -m tests.explanations.planted --out docs/tables`` writes the table (``make why-table``).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logdet.explaining import Explaining
from logdet.scoring import score
from service.model import Model
from service.reasons import methods_of
from service.runtime import Runtime
from training.checkpoint import FitState
from training.recipes import read_recipe
from training.run import Run
from training.table import Table
from training.tables.results import grid

Rows = NDArray[np.float64]

TABLE = "explanations.md"
NAMES = ("load", "flow", "pressure", "heat", "noise", "sensor")
ROWS, TEST_ROWS, EPOCHS, SEED, ALPHA = 10_000, 3_000, 20, 0, 0.01
SHIFT = 5.0  # deviations
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "nsf_ar": ("model.mixing=false",),
    "nsf": (),
}


def machine(rows: int, seed: int) -> Rows:
    """A made-up machine: five numbers that hang together, and one that does not."""
    rng = np.random.default_rng(seed)
    load = rng.normal(0.0, 1.0, rows)
    flow = 0.9 * load + 0.3 * rng.normal(size=rows)
    pressure = np.sin(2.0 * load) + 0.2 * rng.normal(size=rows)
    heat = np.exp(0.5 * flow) + 0.2 * rng.normal(size=rows)
    noise = heat * pressure + 0.3 * rng.normal(size=rows)
    return np.column_stack([load, flow, pressure, heat, noise, rng.standard_t(5, rows)])


def planted(kind: str, seed: int) -> tuple[Rows, NDArray[np.intp]]:
    """Rows each wrong in one feature, and in which: moved far, or with another row's value."""
    rng = np.random.default_rng(seed)
    x, others = machine(TEST_ROWS, seed), machine(TEST_ROWS, seed + 1)
    feature = rng.integers(0, len(NAMES), TEST_ROWS)
    place = np.arange(TEST_ROWS)
    if kind == "moved":
        sign = rng.choice([-1.0, 1.0], TEST_ROWS)
        x[place, feature] += sign * SHIFT * others.std(axis=0)[feature]
    else:
        x[place, feature] = others[place, feature]
    return x, feature


def trained(family: str, folder: Path) -> Model:
    """A flow that has the methods there are."""
    asked = f"family={family}", f"epochs={EPOCHS}", f"seed={SEED}", "gradient=true"
    recipe = read_recipe("table", (*asked, *FAMILIES[family]))
    run = Run(recipe, Table("machine", NAMES, machine(ROWS, 10)), "machine", "planted", folder)
    published = run.publish(run.fit(FitState(), lambda _: None), folder / "bundles")
    return Model.load(published.folder, Runtime.choose("cpu", 1))


def named(model: Model, kind: str) -> dict[str, float]:
    """Share of the anomalies that are flagged, and of these the share each method explains."""
    x, feature = planted(kind, 20)
    scores = score(model, x, ALPHA)
    flagged = np.flatnonzero(scores.decision.is_anomaly)
    found: dict[str, float] = {"flagged": len(flagged) / len(x)}
    of = Explaining(model, x, None, scores)
    for method in methods_of(model.manifest):
        contribution = of.contributions(method, flagged.tolist())
        # Of a gradient only the size can name a feature.
        size = -np.abs(contribution) if method == "gradient" else contribution
        found[method] = _right(size, feature[flagged])
        if method == "gradient":  # which is local: how far a value is from its median is not in it
            away = (x[flagged] - model.rules.median) / x.std(axis=0)
            found["gradient × distance"] = _right(contribution * away, feature[flagged])
    return found


def _right(contribution: Rows, feature: NDArray[np.intp]) -> float:
    return float((contribution.argmin(axis=1) == feature).mean())


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    chosen = parser.parse_args()
    columns: dict[str, dict[str, Any]] = {}
    kinds = {"moved": f"moved by {SHIFT:g} deviations", "swapped": "another row's value"}
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            model = trained(family, Path(folder))
            for kind, title in kinds.items():
                texts = {name: f"{share:.1%}" for name, share in named(model, kind).items()}
                columns[f"{family}, {title}"] = texts
    names = dict.fromkeys(name for texts in columns.values() for name in texts)
    by_name = {
        name: {of: texts[name] for of, texts in columns.items() if name in texts} for name in names
    }
    (chosen.out / TABLE).write_text(
        f"{TEST_ROWS:,} rows of {len(NAMES)} features, each wrong in one that is drawn at random; "
        f"{ROWS:,} rows train and calibrate, {EPOCHS} epochs. The share that is flagged at alpha "
        f"{ALPHA:g}, and of these the share in which a method names the right feature (a guess "
        f"would {1 / len(NAMES):.1%}):\n\n{grid('model, anomaly', columns, by_name)}\n"
    )


if __name__ == "__main__":
    main()
