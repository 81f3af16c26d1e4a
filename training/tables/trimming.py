"""What trimming does where a share of the training rows are anomalies: rings in a noisy box.

``python -m training.tables.trimming --out docs/tables`` writes the table (``make trim-table``).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from training.calibrated import Calibrated
from training.checkpoint import FitState
from training.evaluate import separated_by
from training.recipes import read_recipe
from training.run import Run, Work
from training.table import Rows, Table
from training.tables.results import grid
from training.tables.toys import TOYS

TOY, TABLE = "rings", "trimming.md"
FAMILY, EPOCHS, SEEDS = "nsf", 20, 3
ROWS, TEST_ROWS, ANOMALIES = 10_000, 20_000, 20_000
# Half the side of the box that anomalies are spread over evenly, its middle that of the rings.
HALF_SIDE = 4.0
PLANTED, ALPHA = 0.05, 0.01
TRIMS = (0.02, 0.05, 0.1)
COLUMNS = "AUROC", f"power at {ALPHA:g}", f"false alarms at {ALPHA:g}"


@dataclass(frozen=True, slots=True)
class Found:
    """How well anomalies are found at :data:`ALPHA`.

    Attributes:
        auroc: Area under the receiver operating characteristic, of anomalies among clean rows.
        power: Share of the anomalies that are flagged.
        alarms: Share of the clean rows that are.
    """

    auroc: float
    power: float
    alarms: float


def contaminated(share: float, seed: int, rows: int = ROWS) -> Table:
    """Rows of which a share are anomalies, a clean test, and further anomalies."""
    rng = np.random.default_rng(seed)
    planted = round(share * rows)
    mixed = np.concatenate([TOYS[TOY].draw(rng, rows - planted), _anomalies(rng, planted)])
    test, anomalies = TOYS[TOY].draw(rng, TEST_ROWS), _anomalies(rng, ANOMALIES)
    return Table(TOY, ("x", "y"), mixed, test=test, anomalies=anomalies)


def trained(table: Table, trim: float, seed: int, *settings: str) -> Work:
    """The work of a run whose fit has ended."""
    asked = f"family={FAMILY}", f"epochs={EPOCHS}", f"trim={trim}", f"seed={seed}", *settings
    recipe = read_recipe("table", asked)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(recipe, table, TOY, "training.tables.trimming", Path(folder))
        run.fit(FitState(), lambda _: None)
    return run.work


def found(work: Work, trim: float) -> Found:
    """What is found with calibration rows that are trimmed by a share.

    Raises:
        ValueError: If there are no labelled anomalies.
    """
    split = work.prepared.split
    calibration = Calibrated.of(work.scores(split.calibration), trim).calibration
    separation = separated_by(work.scores, split.test, split.anomalies)
    if separation is None:
        raise ValueError("expected anomalies beside the rows, got none")
    power, alarms = (
        float((calibration.p_value(work.scores(rows)) <= ALPHA).mean())
        for rows in (split.anomalies, split.test)
    )
    return Found(separation.auroc, power, alarms)


def measured(seed: int) -> dict[str, Found]:
    """By what was done about the anomalies."""
    table = contaminated(PLANTED, seed)
    untrimmed = trained(table, 0.0, seed)
    clean = trained(contaminated(0.0, seed), 0.0, seed)
    return {
        "no anomalies among the rows": found(clean, 0.0),
        "nothing trimmed": found(untrimmed, 0.0),
        f"calibration alone, {PLANTED:.0%}": found(untrimmed, PLANTED),
        **{f"training too, {trim:.0%}": found(trained(table, trim, seed), trim) for trim in TRIMS},
    }


def _anomalies(rng: np.random.Generator, rows: int) -> Rows:
    return rng.uniform(-HALF_SIDE, HALF_SIDE, (rows, 2))


def _texts(seeds: list[Found]) -> dict[str, str]:
    values: Rows = np.array([astuple(one) for one in seeds])
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return {
        name: f"{mean:.4f} ± {spread:.4f}"
        for name, mean, spread in zip(COLUMNS, values.mean(axis=0), error, strict=True)
    }


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    chosen = parser.parse_args()
    seeds = [measured(seed) for seed in range(SEEDS)]
    rows = {name: _texts([found_at[name] for found_at in seeds]) for name in seeds[0]}
    columns = {name: {row: texts[name] for row, texts in rows.items()} for name in COLUMNS}
    (chosen.out / TABLE).write_text(
        f"{ROWS:,} rows of two rings, {PLANTED:.0%} of them anomalies spread evenly over a box "
        f"around them ({ROWS // 10:,} rows calibrate); `{FAMILY}`, {EPOCHS} epochs. Of "
        f"{TEST_ROWS:,} clean rows and {ANOMALIES:,} other anomalies, means of {SEEDS} seeds ± "
        "one standard error:\n\n" + grid("trimmed", rows, columns) + "\n"
    )


if __name__ == "__main__":
    main()
