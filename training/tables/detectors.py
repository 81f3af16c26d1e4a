"""Detectors of other libraries that the anomaly table sets beside flows, all as they come."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.table import Rows

Scores = NDArray[np.float64]
# Of a fit to rows: what scores others, a larger score stranger.
Fitted = Callable[[Rows], Scores]
NEIGHBOURS, LOF_NEIGHBOURS = 5, 20
WARM_UP_ROWS = 100


@dataclass(frozen=True, slots=True)
class Scored:
    """What a method says of the test rows, and the time it took.

    Attributes:
        scores: By the score's name, shape ``(rows,)``; a larger one is stranger.
        train_s: Of the processor.
        score_s: Of the processor, for all test rows.
    """

    scores: dict[str, Scores]
    train_s: float
    score_s: float


def _forest(train: Rows, seed: int) -> Fitted:
    from sklearn.ensemble import IsolationForest

    fitted = IsolationForest(random_state=seed).fit(train)
    return lambda rows: np.asarray(-fitted.score_samples(rows), np.float64)


def _outlier_factor(train: Rows, seed: int) -> Fitted:
    from sklearn.neighbors import LocalOutlierFactor

    fitted = LocalOutlierFactor(LOF_NEIGHBOURS, novelty=True).fit(train)
    return lambda rows: np.asarray(-fitted.score_samples(rows), np.float64)


def _farthest(train: Rows, seed: int) -> Fitted:
    distances = _distances(train)
    return lambda rows: np.asarray(distances(rows)[:, -1])


def _average(train: Rows, seed: int) -> Fitted:
    distances = _distances(train)
    return lambda rows: np.asarray(distances(rows).mean(axis=1))


def _distances(train: Rows) -> Callable[[Rows], Rows]:
    from sklearn.neighbors import NearestNeighbors

    fitted = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(train)
    return lambda rows: np.asarray(fitted.kneighbors(rows)[0], np.float64)


def _ecod(train: Rows, seed: int) -> Fitted:
    from pyod.models.ecod import ECOD

    fitted = ECOD().fit(train)
    return lambda rows: np.asarray(fitted.decision_function(rows), np.float64)


ECOD = "PyOD ECOD"
DETECTORS: dict[str, Callable[[Rows, int], Fitted]] = {
    "scikit-learn IForest": _forest,
    "scikit-learn LOF": _outlier_factor,
    "scikit-learn kNN, distance to the 5th": _farthest,
    "scikit-learn kNN, mean of 5 distances": _average,
    ECOD: _ecod,
}


def why_not(method: str) -> str | None:
    """Why a detector cannot be run here; None where it can."""
    if method == ECOD and importlib.util.find_spec("pyod") is None:
        return "PyOD is not installed (pip install 'logdet[tables]')"
    return None


def detected(method: str, train: Rows, test: Rows, seed: int) -> Scored:
    """Fit a detector and score the test rows."""
    DETECTORS[method](train[:WARM_UP_ROWS], seed)  # Imports, and compiles where it does.
    begun = time.process_time()
    fitted = DETECTORS[method](train, seed)
    trained = time.process_time()
    scores = fitted(test)
    return Scored({method: scores}, trained - begun, time.process_time() - trained)
