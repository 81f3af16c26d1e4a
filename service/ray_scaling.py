"""How many replicas Ray Serve should have: as many as the queued work needs.

Serve counts requests: one of 100,000 rows is as much to it as one of a single row, and calls of
gRPC, which come to a replica directly, are none. Replicas therefore report what they have to do
(:mod:`service.occupancy`), and :class:`ByWork`, which Serve's controller runs a few times a
second, makes a number of that. Serve adds the bounds and the delays.
"""

from __future__ import annotations

import math
from typing import Any

# The share of a replica's time above which there should be another one, and below which all the
# others would have to stay if one were to go. Between them nothing changes.
FULL, ROOMY = 0.7, 0.5
MOST_GROWTH = 2.0  # of the number of replicas at once


class ByWork:
    """A policy for Ray Serve.

    Args:
        target_wait_s: Seconds of work that may wait in a replica on average.
    """

    def __init__(self, target_wait_s: float) -> None:
        self._target_wait_s = target_wait_s

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 - Serve's own
        """The replicas that are wanted, before bounds and delays; there is no state to keep."""
        told, current = context.aggregated_metrics or {}, context.current_num_replicas
        busy, waits = told.get("busy", {}), told.get("wait_s", {})
        # One that has just come is not known yet, nor what it takes off the others.
        if not current or len(busy) < current or len(waits) < current:
            return max(context.target_num_replicas, current), {}
        return wanted(list(busy.values()), list(waits.values()), self._target_wait_s), {}


def wanted(busy: list[float], waits: list[float], target_wait_s: float) -> int:
    """How many replicas there should be.

    Args:
        busy: Share of its time that each uses.
        waits: Seconds of work that wait in each.
        target_wait_s: Seconds that may wait in one, on average.
    """
    current = len(busy)
    by_time = math.ceil(sum(busy) / FULL)
    wait = sum(waits) / current / target_wait_s
    by_wait = math.ceil(current * wait) if wait > 1 else 0
    needed = min(max(by_time, by_wait), math.ceil(current * MOST_GROWTH))
    if needed >= current:
        return needed
    if wait > ROOMY:
        return current
    return max(1, min(current, math.ceil(sum(busy) / ROOMY)))
