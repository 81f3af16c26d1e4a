"""One seed, many independent uses of randomness."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What random numbers are for; each use has its own, so none depends on how many another took.

    Numbered from 1: numpy takes a missing index for a zero.
    """

    SPLIT = 1
    SCALES = 2
    VALIDATION = 3
    TEST = 4
    BATCHES = 5
    OBJECTIVE = 6
    DRAWS = 7


def generator(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """The generator of one use, and of one epoch of it; the same every time."""
    return np.random.default_rng((seed, int(stream), index))
