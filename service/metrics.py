"""Prometheus metrics of one replica, and the page of several.

Every series carries the label ``replica``; nothing is summed here, because a replica that went
away would look like a counter that fell. The registry is an argument, never the global one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from exported.manifest import Manifest
from service.comparisons import Comparisons
from service.histogram import ScoreHistogram
from service.instruments import Spread, Spreads, Value, Values
from service.model_metrics import LaneMetrics, ModelMetrics
from service.results import STATUSES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
_ROWS = tuple(4**k for k in range(10))
_MODEL = ("model", "version")
# Of HTTP and gRPC.
SUCCESS = frozenset({"200", "OK"})
# The histograms of scores, by what a manifest calls its own.
_SCORES = {
    "log_prob": "Log-densities of rows, nats.",
    "score": "Scores of rows: importance bounds of VAEs, nats; negative errors of autoencoders.",
}
# A gauge beside every counter that says when it began: as many series again, of no use here.
_CREATED = re.compile(r"^(# \w+ )?logdet_\w+_created[ {].*\n", re.MULTILINE)


class _Answers(NamedTuple):
    """Series of one kind of answer."""

    requests: Value
    seconds: Spread
    last: Value


class Metrics:
    """Series that belong to the whole replica; :meth:`model` gives those of one model.

    Args:
        replica: Value of the label ``replica``.
        registry: Where the series are registered; a new one if None.
    """

    def __init__(self, replica: str, registry: CollectorRegistry | None = None) -> None:
        self.replica = replica
        self.registry = registry or CollectorRegistry()
        self._define_requests()
        self._define_runs()
        self._define_models()
        self._scores = {
            name: ScoreHistogram(f"logdet_{name}", text, replica) for name, text in _SCORES.items()
        }
        self.comparisons = Comparisons(replica)
        for collector in (*self._scores.values(), self.comparisons):
            self.registry.register(collector)

    def request(self, what: tuple[str, str, str, str], code: str, seconds: float) -> None:
        """Count an answered request.

        Args:
            what: Model, version (both empty where none was found), method and protocol.
            code: The protocol's own status code.
            seconds: From request to answer.
        """
        series = self._answered.get((what, code))
        if series is None:  # once for each kind of answer
            series = self._answered[what, code] = self._answers(what, code)
        series.requests.now += 1
        series.seconds.observe(seconds)
        series.last.now = time.time()

    def rejected(self, reason: str) -> None:
        """Count a request refused for one of the error kinds."""
        self._rejected.labels(self.replica, reason).inc()

    def asked(self, name: str, outcome: str) -> None:
        """Count a request by the name of its token; ``admitted`` or ``rate_limited``."""
        self._asked.labels(self.replica, name, outcome).inc()

    def loaded(self, seconds: float, result: str) -> None:
        """Count an attempt to load a bundle; ``result`` is ``ok`` or ``refused``."""
        self._load_seconds.observe(seconds)
        self._loads.labels(self.replica, result).inc()

    def model(self, manifest: Manifest) -> ModelMetrics:
        """The series of one model, made once when it is loaded."""
        key = (self.replica, manifest.name, str(manifest.version))
        self._model_info.labels(*key, *_described(manifest)).set(1)
        self._model_ready.labels(*key).set(1)
        scores = self._scores[manifest.SCORES]
        scores.add(key[1:], manifest.calibration.quantiles.values())
        return ModelMetrics(
            rows={m: self._rows.labels(*key, m) for m in manifest.operations},
            statuses=tuple(self._row_status.labels(*key, s) for s in STATUSES),
            lane=lambda method: self._lane((*key, method)),
            samples=self._samples.labels(*key),
            scores=scores,
            key=key[1:],
        )

    def unloaded(self, manifest: Manifest) -> None:
        """Say that a model serves no longer; its counters stay, as those of a counter must."""
        key = (self.replica, manifest.name, str(manifest.version))
        self._model_ready.labels(*key).set(0)
        self._model_info.remove(*key, *_described(manifest))

    def environment(self, provider: str, onnxruntime: str) -> None:
        """Say what runs here and where."""
        self._gauge("provider_info", "Where graphs run.", "provider").labels(
            self.replica, provider
        ).set(1)
        self._gauge("build_info", "Versions.", "version", "onnxruntime").labels(
            self.replica, own_version(), onnxruntime
        ).set(1)

    def computed_seconds(self) -> float:
        """What all runs have taken so far."""
        return self._compute_seconds.total()

    def snapshot(self) -> str:
        """All series in the Prometheus text format."""
        return _CREATED.sub("", generate_latest(self.registry).decode())

    def _answers(self, what: tuple[str, str, str, str], code: str) -> _Answers:
        labels = self.replica, *what
        outcome = "ok" if code in SUCCESS else "refused"
        return _Answers(
            self._requests.labels(*labels, code),
            self._durations.labels(*labels, outcome),
            self._last_request.labels(*labels[:-1]),
        )

    def _lane(self, labels: tuple[str, ...]) -> LaneMetrics:
        return LaneMetrics(
            executions=self._executions.labels(*labels),
            batch_rows=self._batch_rows.labels(*labels),
            batch_requests=self._batch_requests.labels(*labels),
            queue_seconds=self._queue_seconds.labels(*labels),
            compute_seconds=self._compute_seconds.labels(*labels),
        )

    def _define_requests(self) -> None:
        labels = (*_MODEL, "method", "protocol")
        self._requests = self._values(
            CounterMetricFamily, "requests", "Answered requests.", *labels, "code"
        )
        self._durations = self._spreads(
            "request_duration_seconds", "Request to answer.", _SECONDS, *labels, "outcome"
        )
        self._last_request = self._values(
            GaugeMetricFamily,
            "last_request_timestamp_seconds",
            "When one was last answered.",
            *labels[:-1],
        )
        self._answered: dict[tuple[tuple[str, str, str, str], str], _Answers] = {}
        self._rejected = self._counter("rejected", "Refused requests by error kind.", "reason")
        self._asked = self._counter(
            "token_requests", "Requests by the name of their token.", "token", "outcome"
        )
        self.cancelled = self._counter(
            "cancelled", "Requests given up: the client went away, or its time was over."
        ).labels(self.replica)
        self.inflight = self._gauge(
            "inflight_requests", "Operations begun and not answered."
        ).labels(self.replica)
        self.intake_bytes = self._gauge(
            "intake_bytes", "Bodies of requests that are being read and answered."
        ).labels(self.replica)
        self.queue_rows = self._gauge("queue_rows", "Rows admitted and not answered.").labels(
            self.replica
        )

    def _define_runs(self) -> None:
        counter = CounterMetricFamily
        self._rows = self._values(counter, "rows", "Rows answered.", *_MODEL, "method")
        self._row_status = self._values(
            counter, "row_status", "Rows by status.", *_MODEL, "status"
        )
        self._samples = self._counter("bound_samples", "Samples that bounds took.", *_MODEL)
        lane = (*_MODEL, "method")
        self._executions = self._values(counter, "executions", "Runs of graphs.", *lane)
        self._batch_rows = self._spreads("batch_rows", "Rows of a run.", _ROWS, *lane)
        self._batch_requests = self._spreads(
            "batch_requests", "Requests that shared a run.", _ROWS, *lane
        )
        self._queue_seconds = self._spreads(
            "queue_duration_seconds", "Admission to the first run.", _SECONDS, *lane
        )
        self._compute_seconds = self._spreads(
            "compute_duration_seconds", "Time of a run in its worker.", _SECONDS, *lane
        )

    def _define_models(self) -> None:
        self._load_seconds = self._histogram(
            "model_load_duration_seconds", "Reading, verifying and warming a bundle.", _SECONDS
        ).labels(self.replica)
        self._loads = self._counter("model_loads", "Attempts to load a bundle.", "result")
        self._model_ready = self._gauge("model_ready", "1 while the model serves.", *_MODEL)
        self._model_info = self._gauge(
            "model_info", "What serves.", *_MODEL, "family", "density", "features", "sha256"
        )

    def _values(
        self,
        kind: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        text: str,
        *labels: str,
    ) -> Values:
        return Values(kind, f"logdet_{name}", text, ("replica", *labels), self.registry)

    def _spreads(self, name: str, text: str, edges: Sequence[float], *labels: str) -> Spreads:
        return Spreads(f"logdet_{name}", text, ("replica", *labels), edges, self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"logdet_{name}", text, ("replica", *labels), registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"logdet_{name}", text, ("replica", *labels), registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: Sequence[float], *labels: str
    ) -> Histogram:
        return Histogram(
            f"logdet_{name}", text, ("replica", *labels), registry=self.registry, buckets=buckets
        )


def _described(manifest: Manifest) -> tuple[str, ...]:
    """What a model's series of facts says."""
    digest = next(iter(manifest.graphs.values())).artifact.sha256
    return manifest.family, manifest.density, str(len(manifest.features)), digest


def merge(pages: Sequence[str]) -> str:
    """One page of several replicas' pages: HELP and TYPE once, all samples kept."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        family = ""
        for line in page.splitlines():
            if not line.startswith("#"):
                samples.setdefault(family, []).append(line)
                continue
            family = line.split(" ", 3)[2]
            head = heads.setdefault(family, [])
            if line not in head:
                head.append(line)
    lines = (line for name, head in heads.items() for line in (*head, *samples.get(name, ())))
    return "\n".join(lines) + "\n"


def own_version() -> str:
    """Version of the installed package."""
    try:
        return version("logdet")
    except PackageNotFoundError:
        return "unknown"
