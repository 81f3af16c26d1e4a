"""How full a replica is, and how full it may be, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class Filled(NamedTuple):
    """Something that is used up while requests wait.

    Attributes:
        text: What it is.
        used: Tells how much is used now.
        limit: Over which requests are refused as overloaded; None where there is none.
    """

    text: str
    used: Callable[[], int]
    limit: int | None = None


class Room(Collector):
    """Of each thing a gauge ``logdet_THING_UNIT``, and ``logdet_THING_limit_UNIT`` of its limit.

    Args:
        replica: Value of the label ``replica``.
        things: By thing and unit.
    """

    def __init__(self, replica: str, things: Mapping[tuple[str, str], Filled]) -> None:
        self._replica, self._things = replica, things

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        for (thing, unit), filled in self._things.items():
            yield self._gauge(f"{thing}_{unit}", filled.text, filled.used())
            if filled.limit is not None:
                text = f"Over which requests are refused: see logdet_{thing}_{unit}."
                yield self._gauge(f"{thing}_limit_{unit}", text, filled.limit)

    def _gauge(self, name: str, text: str, value: int) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"logdet_{name}", text, labels=("replica",))
        family.add_metric((self._replica,), value)
        return family
