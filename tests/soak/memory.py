"""Resident memory of processes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

WARM_UP = 0.2  # of the whole time
ENDS = 0.2  # of what comes after, at each of its ends


def resident_mib(processes: Iterable[int]) -> float:
    """Of all of them."""
    total = 0
    for pid in processes:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total / 1024


def growth(samples: Sequence[float]) -> float:
    """By how much the last samples exceed the first ones after warming up, as a share of these."""
    warm = samples[int(WARM_UP * len(samples)) :]
    few = max(1, int(ENDS * len(warm)))
    first, last = statistics.median(warm[:few]), statistics.median(warm[-few:])
    return last / first - 1.0
