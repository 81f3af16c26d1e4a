"""What a row far out costs under each base: on a Student-t with two degrees of freedom.

``python -m training.tables.tails --out docs/tables`` writes the table (``make tails-table``).
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from training.recipes import read_recipe
from training.tables.divergence import MAX_SECONDS, ROWS, toy_fold
from training.tables.methods import flow
from training.tables.results import grid
from training.tables.toys import TOYS, Nats

FAMILY, TABLE = "nsf", "tails.md"
BASES = "standard_normal", "gaussian_mixture", "student_t"
DISTANCES = (100.0, 10_000.0)


def _texts(nats: Nats, truth: Nats) -> dict[str, str]:
    """Of the test rows and behind them the far ones, nats."""
    test, far = nats[: -len(DISTANCES)], nats[-len(DISTANCES) :]
    texts = {
        "mean": f"{test.mean():.3f}",
        "least likely row": f"{test.min():.1f}",
        "most below the truth": f"{(truth - nats)[: len(test)].max():.1f}",
    }
    for distance, one in zip(DISTANCES, far, strict=True):
        texts[f"a row at ({distance:,.0f}, {distance:,.0f})"] = f"{one:.1f}"
    return texts


def measured() -> dict[str, dict[str, str]]:
    """Texts by base and what is told of it, in the toy's own units; the truth is one row."""
    fold = toy_fold("tails")
    far = np.array([[distance, distance] for distance in DISTANCES])
    test = np.concatenate([fold.test, far])
    noise = *fold.noise[:2], np.zeros_like(test)
    fold = dataclasses.replace(fold, test=test, noise=noise)
    truth = TOYS["tails"].log_prob(test)
    rows = {"the truth": _texts(truth, truth)}
    for base in BASES:
        settings = f"family={FAMILY}", f"base={base}", f"max_seconds={MAX_SECONDS}"
        recipe = read_recipe("table", [*settings, "clock=processor"])
        rows[base] = _texts(flow(fold, recipe).nats - np.log(fold.scale).sum(), truth)
    return rows


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    chosen = parser.parse_args()
    rows = measured()
    names = rows["the truth"]
    columns = {name: {row: texts[name] for row, texts in rows.items()} for name in names}
    (chosen.out / TABLE).write_text(
        "log p of 20,000 test rows of a Student-t with two degrees of freedom, nats, after "
        f"{ROWS:,} rows and at most {MAX_SECONDS:.0f} s of training of `{FAMILY}`:\n\n"
        + grid("base", rows, columns)
        + "\n"
    )


if __name__ == "__main__":
    main()
