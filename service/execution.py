"""A run of parts of jobs, in whichever thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from service.jobs import Arrays, Part
from service.lanes import Run

Outcome = tuple[Arrays, float]
Execute = Callable[[Run, Sequence[Part]], Outcome]


def execute(run: Run, parts: Sequence[Part]) -> Outcome:
    """Run parts of jobs together: what came of it, and in how many seconds."""
    started = time.perf_counter()
    taken = [part.job.take(part.start, part.stop) for part in parts]
    arrays = run(taken[0] if len(taken) == 1 else np.concatenate(taken))
    return arrays, time.perf_counter() - started
