"""Data sets that come with installed packages: no download."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.table import Table

ANOMALY_COLUMN = "anomaly"


def _shuttle() -> Table:
    """NASA shuttle telemetry (Statlog), from the package river (BSD-3).

    The first half of the normal rows in file order may be trained on; the second half and every
    anomaly are the test.
    """
    package = importlib.util.find_spec("river")
    if package is None or package.origin is None:
        raise ValueError("the data set shuttle needs the package river (in the train extra)")
    path = Path(package.origin).parent / "datasets" / "shuttle.csv.gz"
    with gzip.open(path, "rt") as file:
        header = file.readline().strip().split(",")
        values = np.loadtxt(file, delimiter=",")
    labels = values[:, header.index(ANOMALY_COLUMN)]
    columns = [i for i, name in enumerate(header) if name != ANOMALY_COLUMN]
    normal, anomalies = values[labels == 0][:, columns], values[labels == 1][:, columns]
    half = len(normal) // 2
    names = tuple(header[i] for i in columns)
    return Table("shuttle", names, normal[:half], test=normal[half:], anomalies=anomalies)


def _digits() -> Table:
    """1,797 handwritten digits of 8 x 8 pixels in 17 grey levels, from scikit-learn."""
    from sklearn.datasets import load_digits

    data = load_digits()
    rows = data.data.astype(np.float64)
    return Table("digits", tuple(data.feature_names), rows, image=(8, 8, 1))


def _breast_cancer() -> Table:
    """569 tumours with 30 measurements, from scikit-learn; malignant ones are the anomalies."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    names = tuple(str(name).replace(" ", "_") for name in data.feature_names)
    values, benign = data.data.astype(np.float64), data.target == 1
    return Table("breast_cancer", names, values[benign], anomalies=values[~benign])


DATASETS: dict[str, Callable[[], Table]] = {
    "breast_cancer": _breast_cancer,
    "digits": _digits,
    "shuttle": _shuttle,
}


def load(name: str) -> Table:
    """A data set by name.

    Raises:
        ValueError: With the names that there are.
    """
    if name not in DATASETS:
        raise ValueError(f"no data set named {name!r}; there are: {', '.join(DATASETS)}")
    return DATASETS[name]()
