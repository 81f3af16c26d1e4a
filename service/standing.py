"""Which versions answer, and whether they are those that are wanted, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.route import Route


class Standing(Collector):
    """Of every name, read when the page is made.

    Args:
        replica: Value of the label ``replica``.
        routes: Gives the routes of now, by name.
    """

    def __init__(self, replica: str, routes: Callable[[], Mapping[str, Route]]) -> None:
        self._replica, self._routes = replica, routes

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        version = GaugeMetricFamily(
            "logdet_serving_version",
            "Number of the version that answers by default, and of the one compared with it.",
            labels=("replica", "model", "role"),
        )
        unmet = GaugeMetricFamily(
            "logdet_serving_unmet",
            "1 while what serves is not what is wanted.",
            labels=("replica", "model"),
        )
        for name, route in self._routes().items():
            version.add_metric((self._replica, name, "default"), route.version)
            if route.challenger is not None:
                version.add_metric((self._replica, name, "challenger"), route.challenger)
            unmet.add_metric((self._replica, name), bool(route.problem))
        return version, unmet
