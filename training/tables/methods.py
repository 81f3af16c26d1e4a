"""What is measured on a fold: mixtures of Gaussians, and flows by the ``table`` recipe."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.checkpoint import FitState
from training.evaluate import full_flow, log_prob
from training.families import fresh_flow
from training.fit import fit
from training.flow import Flow
from training.objectives import objective_of
from training.prepared import Prepared, described
from training.recipes import Recipe
from training.steps import solved
from training.table import Examples, Rows, Split
from training.tables.protocols import Fold

# Rows that a mixture of several Gaussians is fitted to, so that it takes a minute at most.
MIXTURE_ROWS = 30_000


@dataclass(frozen=True, slots=True)
class Measured:
    """The test rows' log-likelihood by one method.

    Attributes:
        nats: Of each test row, in columns of unit variance.
        seconds: Time of the fit, by the recipe's clock.
        epochs: Of a flow; 0 of a mixture.
    """

    nats: NDArray[np.float64]
    seconds: float
    epochs: int


def mixture(fold: Fold, components: int) -> Measured:
    """A mixture of full-covariance Gaussians fitted by expectation maximisation."""
    from sklearn.mixture import GaussianMixture

    begun = time.monotonic()
    fitted = GaussianMixture(components, covariance_type="full", random_state=0)
    train = fold.standardised(0)
    fitted.fit(train if components == 1 else train[:MIXTURE_ROWS])
    seconds = time.monotonic() - begun
    nats = np.asarray(fitted.score_samples(fold.standardised(2)), dtype=np.float64)
    return Measured(nats, seconds, 0)


def flow(fold: Fold, recipe: Recipe) -> Measured:
    """A flow as anybody gets it from the recipe, trained on the fold's own rows and no others."""
    prepared = prepared_fold(fold, recipe)
    fresh = fresh_flow(recipe, prepared.sizes)
    how = recipe.rows_fit(), objective_of(recipe.flow())
    state = fit(fresh, prepared, how, FitState(), lambda _: None, lambda _: None)
    density = solved(full_flow(fresh, prepared))
    return Measured(standardised_nats(density, prepared, fold), state.seconds, state.epoch)


def prepared_fold(fold: Fold, recipe: Recipe) -> Prepared:
    """The fold as the recipe sees it; no rows are set aside for calibration."""
    features = fold.train.shape[1]
    names = tuple(f"x{i}" for i in range(features))
    # A few real-valued sets have columns whose values happen to be whole.
    continuous = frozenset() if fold.whole else frozenset(names)
    none = _plain(fold.train[:0])
    train, validation, test = map(_plain, (fold.train, fold.validation, fold.test))
    split = Split(train, validation, none, test, none, "of the table's protocol")
    return described(recipe.model_copy(update={"continuous": continuous}), names, split)


def standardised_nats(density: Flow, prepared: Prepared, fold: Fold) -> NDArray[np.float64]:
    """Log-density of the test rows, with the protocol's noise and in its scaling."""
    # The protocol spreads k over [k, k + 1), our columns over [k - 1/2, k + 1/2).
    rows = fold.test + (fold.noise[2] - 0.5 if fold.whole else 0.0)
    return log_prob(density, prepared, _plain(rows)) + float(np.log(fold.scale).sum())


def _plain(rows: Rows) -> Examples:
    return Examples(rows, np.empty((len(rows), 0)))
