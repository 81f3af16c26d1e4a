"""Published ways to divide and scale real sets, so that numbers can be set side by side.

The sets are not part of the project: a folder holds ``uci/NAME.npz`` (array ``data``) and
``adbench/NAME.npz`` (arrays ``X`` and ``y``, 1 an anomaly).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.table import Rows

# The rules of Uria et al., RNADE (2013): columns of few values and one of each pair of nearly
# collinear columns say nothing about a density.
FEW_VALUES, COLLINEAR = 20, 0.98
MAF_SEED = 42
RNADE_SEED, RNADE_FOLDS = 0, 10


@dataclass(frozen=True, slots=True)
class Fold:
    """One division of a set, and the scaling in which its nats are told.

    Attributes:
        train: Rows that move parameters.
        validation: Rows that choose among them.
        test: Rows that are told about.
        whole: Whether values are whole numbers, spread over [k, k + 1) by ``noise``.
        noise: Of train, validation and test, for densities without their own; zeros if not whole.
        centre: Of every column, the set's own unit.
        scale: Of every column, the set's own unit.
    """

    train: Rows
    validation: Rows
    test: Rows
    whole: bool
    noise: tuple[Rows, Rows, Rows]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def standardised(self, part: int) -> Rows:
        """Train (0), validation (1) or test (2) with its noise, in columns of unit variance."""
        rows: Rows = (self.train, self.validation, self.test)[part] + self.noise[part]
        return (rows - self.centre) / self.scale


def maf_split(rows: Rows, *, whole: bool) -> Fold:
    """A tenth tests, a tenth of the rest validates, scaled by the moments of all but the test.

    References:
        Papamakarios et al., Masked autoregressive flow for density estimation (2017), section D.
    """
    noise = np.random.RandomState(0).rand(*rows.shape) if whole else np.zeros_like(rows)
    order = np.random.RandomState(MAF_SEED).permutation(len(rows))
    tenth = len(rows) // 10
    rest, test = order[:-tenth], order[-tenth:]
    tenth = len(rest) // 10
    parts = rest[:-tenth], rest[-tenth:], test
    scaled_by = (rows + noise)[rest]
    return _fold(rows, noise, parts, scaled_by, whole=whole)


def rnade_folds(rows: Rows) -> Iterator[Fold]:
    """Ten folds; each tests once, a tenth of the others validates, scaled by what is trained on.

    References:
        Uria et al., RNADE: the real-valued neural autoregressive density-estimator (2013), 6.1.
    """
    order = np.random.RandomState(RNADE_SEED).permutation(len(rows))
    for test in np.array_split(order, RNADE_FOLDS):
        rest = order[~np.isin(order, test)]
        tenth = len(rest) // 10
        parts = rest[:-tenth], rest[-tenth:], test
        yield _fold(rows, np.zeros_like(rows), parts, rows[rest], whole=False)


def _fold(
    rows: Rows,
    noise: Rows,
    parts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    scaled_by: Rows,
    *,
    whole: bool,
) -> Fold:
    train, validation, test = parts
    return Fold(
        train=rows[train],
        validation=rows[validation],
        test=rows[test],
        whole=whole,
        noise=(noise[train], noise[validation], noise[test]),
        centre=scaled_by.mean(axis=0),
        scale=scaled_by.std(axis=0),
    )


def continuous_columns(rows: Rows) -> Rows:
    """Without columns of at most 20 values, then without one of each pair with ``|r| > 0.98``."""
    rows = rows[:, [len(np.unique(column)) > FEW_VALUES for column in rows.T]]
    correlation = np.abs(np.corrcoef(rows, rowvar=False))
    kept: list[int] = []
    for i in range(rows.shape[1]):
        if not (correlation[i, kept] > COLLINEAR).any():
            kept.append(i)
    return rows[:, kept]


def _uci(folder: Path, name: str) -> Rows:
    archive = np.load(folder / "uci" / f"{name}.npz", allow_pickle=False)
    rows: Rows = archive["data"].astype(np.float64)
    return rows


def _normal_rows(folder: Path, name: str) -> Rows:
    archive = np.load(folder / "adbench" / f"{name}.npz", allow_pickle=False)
    rows: Rows = archive["X"][archive["y"] == 0].astype(np.float64)
    return rows


def _power_plant(folder: Path) -> list[Fold]:
    return [maf_split(continuous_columns(_uci(folder, "power_plant")), whole=False)]


def _kin40k(folder: Path) -> list[Fold]:
    return [maf_split(continuous_columns(_uci(folder, "kin40k")), whole=False)]


def _higgs(folder: Path) -> list[Fold]:
    rows = _uci(folder, "higgs_sample")[:, 1:]  # the first column is the label
    return [maf_split(continuous_columns(rows), whole=False)]


def _shuttle(folder: Path) -> list[Fold]:
    return [maf_split(_normal_rows(folder, "32_shuttle"), whole=True)]


def _cover(folder: Path) -> list[Fold]:
    return [maf_split(_normal_rows(folder, "10_cover"), whole=True)]


def _wine_red(folder: Path) -> list[Fold]:
    return list(rnade_folds(_uci(folder, "wine_red")[:, :11]))


def _wine_white(folder: Path) -> list[Fold]:
    return list(rnade_folds(_uci(folder, "wine_white")[:, :11]))


SETS: dict[str, Callable[[Path], list[Fold]]] = {
    "power_plant": _power_plant,
    "kin40k": _kin40k,
    "higgs": _higgs,
    "shuttle": _shuttle,
    "cover": _cover,
    "wine_red": _wine_red,
    "wine_white": _wine_white,
}
# Sets of the protocol of ten folds.
TEN_FOLDS = ("wine_red", "wine_white")
