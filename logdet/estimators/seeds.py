"""Scikit-learn's random states as the seeds that recipes and services take."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

SEEDS = 2**31


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """A whole number as it is, and one drawn from anything else that scikit-learn takes."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(SEEDS))
