"""Counters and histograms that one thread counts with, for what every request touches.

Those of prometheus_client lock at each step and look through all buckets: ten of them cost a small
request more than its density. These are read by the same registry and make the same page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString


class Value:
    """A counter or a gauge; whoever has it changes :attr:`now`, always in the same thread."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0


class Spread:
    """A histogram.

    Args:
        edges: Upper bounds of its buckets, ascending; one more has no bound.
    """

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; always in the same thread."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value


class Values(Collector):
    """Counters or gauges of one name.

    Args:
        kind: The family that they make.
        name: Of the metric.
        text: What it says.
        labels: Names of its labels.
        registry: Where it is registered.
    """

    def __init__(
        self,
        kind: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        text: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
    ) -> None:
        self._kind, self._name, self._text, self._labels = kind, name, text, tuple(labels)
        self._series: dict[tuple[str, ...], Value] = {}
        registry.register(self)

    def labels(self, *values: str) -> Value:
        """The series of some values of the labels, zero at first."""
        return self._series.setdefault(_complete(self._labels, values), Value())

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """See prometheus_client."""
        family = self._kind(self._name, self._text, labels=self._labels)
        for values, series in self._series.items():
            family.add_metric(values, series.now)
        yield family


class Spreads(Collector):
    """Histograms of one name.

    Args:
        name: Of the metric.
        text: What it says.
        labels: Names of its labels.
        edges: As :class:`Spread` has them.
        registry: Where it is registered.
    """

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        edges: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._edges = tuple(edges)
        self._bounds = [*map(floatToGoString, edges), "+Inf"]
        self._series: dict[tuple[str, ...], Spread] = {}
        registry.register(self)

    def labels(self, *values: str) -> Spread:
        """The series of some values of the labels, empty at first."""
        return self._series.setdefault(_complete(self._labels, values), Spread(self._edges))

    def total(self) -> float:
        """The sum of all values of all series."""
        return sum([series.total for series in self._series.values()])

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """See prometheus_client."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, series in self._series.items():
            counts = zip(self._bounds, accumulate(series.counts), strict=True)
            family.add_metric(values, list(counts), series.total)
        yield family


def _complete(labels: tuple[str, ...], values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) != len(labels):
        raise ValueError(f"expected values of {', '.join(labels)}, got {len(values)}")
    return values
