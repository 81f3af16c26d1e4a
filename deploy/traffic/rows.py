"""Makes ``rows.csv.gz``: rows of the shuttle that no model was trained on, for the traffic.

    python -m deploy.traffic.rows

Drawing rows from the model would not do: no model is quite like its data, and the service would
tell its own draws from what it was calibrated on.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from training.datasets import ANOMALY_COLUMN, load

FILE = Path(__file__).with_name("rows.csv.gz")
NORMAL_ROWS = 8_000
ANOMALIES = 400


def text() -> str:
    """The rows as CSV, normal ones first, with a column that tells them apart."""
    table = load("shuttle")
    if table.test is None or table.anomalies is None:
        raise ValueError("expected rows to test with and anomalies, got none")
    rng = np.random.default_rng(0)
    parts = [
        np.column_stack([rng.permutation(rows)[:count], np.full(count, label)])
        for rows, count, label in [(table.test, NORMAL_ROWS, 0), (table.anomalies, ANOMALIES, 1)]
    ]
    lines = [",".join([*table.columns, ANOMALY_COLUMN])]
    lines += [",".join(f"{value:g}" for value in row) for row in np.concatenate(parts)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file, the same bytes each time."""
    FILE.write_bytes(gzip.compress(text().encode(), mtime=0))


if __name__ == "__main__":
    main()
