"""What the process of a replica takes of its machine, as metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample


class ProcessMetrics(Collector):
    """Memory, processor time, start and open files, where the system tells them (Linux).

    They are prometheus_client's, with the label ``replica``, as several replicas share a page.

    Args:
        replica: Value of the label ``replica``.
    """

    def __init__(self, replica: str) -> None:
        self._labels = {"replica": replica}
        self._process = ProcessCollector(namespace="logdet", registry=None)

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        for family in self._process.collect():
            family.samples = [
                Sample(sample.name, self._labels, sample.value) for sample in family.samples
            ]
            yield family
