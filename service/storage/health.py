"""How reading the bundles of an address goes, as metrics tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.stamps import Key


@dataclass(slots=True)
class Health:
    """How it goes in this process.

    Attributes:
        is_away: Whether the address could not be reached at the last look.
        looked: When it last could, seconds since 1970.
        fetched_bytes: Of the bundles' files.
    """

    is_away: bool = False
    looked: float = 0.0
    fetched_bytes: int = 0


class Read(Protocol):
    """What is read at an address."""

    @property
    def health(self) -> Health | None:
        """How it goes."""

    @property
    def refused(self) -> Mapping[Key, str]:
        """Bundles that were not taken."""


class StorageMetrics(Collector):
    """Of one replica, read when the page is made.

    Args:
        replica: Value of the label ``replica``.
        read: What is read.
    """

    def __init__(self, replica: str, read: Read) -> None:
        self._replica, self._read = replica, read

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        health = self._read.health or Health()
        away = GaugeMetricFamily(
            "logdet_storage_away",
            "1 while the bundles' address cannot be reached and what was fetched serves on.",
            labels=("replica",),
        )
        looked = GaugeMetricFamily(
            "logdet_storage_last_look_timestamp_seconds",
            "When the bundles' address was last reached.",
            labels=("replica",),
        )
        refused = GaugeMetricFamily(
            "logdet_storage_refused_bundles",
            "Bundles at the address that are not taken; the log says why.",
            labels=("replica",),
        )
        fetched = CounterMetricFamily(
            "logdet_storage_fetched_bytes",
            "Bytes of bundles' files that were fetched.",
            labels=("replica",),
        )
        away.add_metric((self._replica,), health.is_away)
        looked.add_metric((self._replica,), health.looked)
        refused.add_metric((self._replica,), len(self._read.refused))
        fetched.add_metric((self._replica,), health.fetched_bytes)
        return away, looked, refused, fetched
