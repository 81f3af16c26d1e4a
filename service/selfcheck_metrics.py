"""Prometheus metrics of the checks of answers that were given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.results import Floats
from service.selfcheck_bounds import Bounds, Quantity

RESULTS = ("ok", "beyond_bound", "failed", "dropped")
_LABELS = ("replica", "model", "version")
_DECADES = tuple(10.0**k for k in range(-9, 2))
_TOLD: Mapping[Quantity, tuple[str, str]] = {
    "log_prob": ("nats", "Difference of log_prob from float64 in answers that were checked."),
    "round_trip": (
        "deviations",
        "Largest |decode(encode(x)) - x| of a row, in deviations of its features.",
    ),
}


class SelfCheckSeries:
    """The series of one replica; :meth:`model` gives those of one model.

    Args:
        replica: Value of the label ``replica``.
        registry: Where the series are registered.
    """

    def __init__(self, replica: str, registry: CollectorRegistry) -> None:
        self._replica = replica
        text = "Answers held against float64 and sent back through decode, by what was found."
        self._checks = Counter("logdet_self_checks", text, (*_LABELS, "result"), registry=registry)
        self._errors = {
            name: Histogram(
                f"logdet_self_check_{name}_error_{unit}",
                text,
                _LABELS,
                registry=registry,
                buckets=_DECADES,
            )
            for name, (unit, text) in _TOLD.items()
        }
        self._bounds = {
            name: Gauge(
                f"logdet_self_check_{name}_bound_{unit}",
                "A larger error is beyond_bound.",
                _LABELS,
                registry=registry,
            )
            for name, (unit, _) in _TOLD.items()
        }

    def model(self, key: tuple[str, str], bounds: Bounds) -> SelfCheckMetrics:
        """The series of one model, by name and version."""
        labels = (self._replica, *key)
        for name, bound in bounds.largest.items():
            self._bounds[name].labels(*labels).set(bound)
        return SelfCheckMetrics(
            errors={name: self._errors[name].labels(*labels) for name in bounds.largest},
            # All from the start: a series that appears at one has not increased.
            checks={result: self._checks.labels(*labels, result) for result in RESULTS},
        )


@dataclass(frozen=True, slots=True)
class SelfCheckMetrics:
    """Ready children of one model's series."""

    errors: Mapping[Quantity, Histogram]
    checks: Mapping[str, Counter]

    def found(self, errors: Mapping[Quantity, Floats], beyond: int) -> None:
        """Count answers that were checked, and how many are beyond a bound."""
        for name, values in errors.items():
            for value in values.tolist():
                self.errors[name].observe(value)
        checked = max(map(len, errors.values()))
        self.checks["beyond_bound"].inc(beyond)
        self.checks["ok"].inc(checked - beyond)

    def failed(self, count: int) -> None:
        """Count answers whose check raised an error."""
        self.checks["failed"].inc(count)

    def dropped(self, count: int) -> None:
        """Count answers that were picked and are not checked, as too many wait."""
        self.checks["dropped"].inc(count)
