"""Labelled anomaly sets as the paper of DTE divides them, and what it published of them.

The sets are those of ADBench and no part of the project: a folder holds ``adbench/N_NAME.npz``
(arrays ``X`` and ``y``, 1 an anomaly), and where there is one ``reference/`` the published table.

References:
    Han et al., ADBench: anomaly detection benchmark (2022). https://arxiv.org/abs/2206.09426
    Livernoche et al., On diffusion modeling for anomaly detection (2024), section 5.1: only normal
    rows train. https://arxiv.org/abs/2305.18593
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.table import Rows

SETS = (
    "annthyroid",
    "cover",
    "fault",
    "donors",
    "musk",
    "PageBlocks",
    "satellite",
    "satimage-2",
    "shuttle",
    "smtp",
    "SpamBase",
    "Waveform",
    "cardio",
    "Pima",
    "WDBC",
)
# The recipe was chosen on these, so that nothing about the ones above chose it.
CHOSEN_ON = (
    "glass",
    "Cardiotocography",
    "WPBC",
    "mnist",
    "optdigits",
    "Ionosphere",
)
# Smaller sets are drawn up to this many rows, with replacement and before they are divided, so
# that a row may be both trained on and tested.
FEWEST_ROWS = 1_000
MOST_ROWS = 50_000
# A column of no more deviation than this in training is left in its own unit.
LEAST_DEVIATION = 1e-8
PUBLISHED = "reference/dte_iclr2024_aucroc_semisupervised.csv"


@dataclass(frozen=True, slots=True)
class Task:
    """One division of a set, in columns of unit variance over the training rows.

    Attributes:
        train: Normal rows, shape ``(rows, columns)``.
        test: The other normal rows, then the anomalies.
        is_anomaly: Of each row of the test.
    """

    train: Rows
    test: Rows
    is_anomaly: NDArray[np.bool_]


def read_task(folder: Path, name: str, seed: int) -> Task:
    """A set of the folder, divided.

    Args:
        folder: With ``adbench/``.
        name: The set's, without its number.
        seed: Of what is drawn where a set is small or large.

    Raises:
        ValueError: If the folder has no such set.
    """
    found = sorted((folder / "adbench").glob(f"*_{name}.npz"))
    if not found:
        raise ValueError(f"expected a file *_{name}.npz in the folder's adbench/, got none")
    with np.load(found[0], allow_pickle=False) as arrays:
        return divided(arrays["X"].astype(np.float64), arrays["y"] == 1, seed)


def divided(rows: Rows, is_anomaly: NDArray[np.bool_], seed: int) -> Task:
    """The first half of the normal rows in their order trains, all others are tested."""
    drawn = _drawn(len(rows), seed)
    rows, is_anomaly = rows[drawn], is_anomaly[drawn]
    normal = rows[~is_anomaly]
    half = round(0.5 * len(normal))
    train, rest, anomalies = normal[:half], normal[half:], rows[is_anomaly]
    centre, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.where(scale > LEAST_DEVIATION, scale, 1.0)
    return Task(
        (train - centre) / scale,
        (np.concatenate([rest, anomalies]) - centre) / scale,
        np.arange(len(rest) + len(anomalies)) >= len(rest),
    )


def _drawn(rows: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.RandomState(seed)
    if rows < FEWEST_ROWS:
        return np.asarray(rng.choice(rows, FEWEST_ROWS, replace=True))
    if rows > MOST_ROWS:
        return np.asarray(rng.choice(rows, MOST_ROWS, replace=False))
    return np.arange(rows)


def read_published(folder: Path) -> dict[str, dict[str, float]]:
    """Published AUROC in percent by method and set, sets in lower case; empty without the file."""
    path = folder / PUBLISHED
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        method: {row["Dataset"].lower(): _mean(row[method]) for row in rows}
        for method in rows[0]
        if method != "Dataset"
    }


def _mean(text: str) -> float:
    """Of the text ``mean(deviation)``."""
    return float(text.partition("(")[0])
