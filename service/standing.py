"""Which versions answer, which do not serve, and whether that is what is wanted, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.catalogue import REFUSED, UNREADABLE, Catalogue


class Standing(Collector):
    """Of every name, read when the page is made.

    Args:
        replica: Value of the label ``replica``.
        catalogue: Gives that of now.
    """

    def __init__(self, replica: str, catalogue: Callable[[], Catalogue]) -> None:
        self._replica, self._catalogue = replica, catalogue

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
        refused = GaugeMetricFamily(
            "logdet_bundle_refused",
            "1 while a version that is there was refused when it was loaded.",
            labels=("replica", "model", "version"),
        )
        catalogue = self._catalogue()
        for name, route in catalogue.routes.items():
            version.add_metric((self._replica, name, "default"), route.version)
            if route.challenger is not None:
                version.add_metric((self._replica, name, "challenger"), route.challenger)
            unmet.add_metric((self._replica, name), bool(route.problem))
        for (name, number), why in catalogue.refused.items():
            if why in {REFUSED, UNREADABLE}:  # not unloaded, nor refused where it is fetched
                refused.add_metric((self._replica, name, str(number)), 1)
        return version, unmet, refused
