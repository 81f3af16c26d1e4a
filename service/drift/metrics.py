"""What is known of drift, as metrics: of each window the latest look, so that a page is cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.drift.sketch import Sketch
from service.drift.windows import LENGTHS

Key = tuple[str, int]
_MODEL = ("replica", "model", "version")


class DriftMetrics(Collector):
    """Of every model that serves, as its replica sees it.

    Args:
        replica: Value of the label ``replica``.
        sketches: Gives those of now, by name and version.
    """

    def __init__(self, replica: str, sketches: Callable[[], Mapping[Key, Sketch]]) -> None:
        self._replica, self._sketches = replica, sketches

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        alarm, rows, p_value, shift = gauges = _gauges()
        alarms = CounterMetricFamily("logdet_drift_alarms", "Alarms that began.", labels=_MODEL)
        last = GaugeMetricFamily(
            "logdet_drift_last_row_timestamp_seconds", "When a row was last seen.", labels=_MODEL
        )
        for (name, version), sketch in self._sketches().items():
            key = (self._replica, name, str(version))
            alarm.add_metric(key, sketch.since is not None)
            alarms.add_metric(key, sketch.alarms)
            if sketch.last_s is not None:
                last.add_metric(key, sketch.last_s)
            for length, look in zip(LENGTHS, sketch.looks, strict=True):
                if look is None:
                    continue
                scored, found = look
                window = (*key, str(length))
                rows.add_metric(window, scored)
                p_value.add_metric(window, sketch.level.corrected(found.smallest_p))
                shift.add_metric(window, found.shift)
        return alarms, last, *gauges


def _gauges() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    windowed = (*_MODEL, "window")
    return (
        GaugeMetricFamily(
            "logdet_drift_alarm", "1 while rows are unlike the calibration rows.", labels=_MODEL
        ),
        GaugeMetricFamily(
            "logdet_drift_window_rows", "Rows with a score in the window.", labels=windowed
        ),
        GaugeMetricFamily(
            "logdet_drift_corrected_p_value",
            "Smallest p-value of the window, times all that are looked at in a million rows.",
            labels=windowed,
        ),
        GaugeMetricFamily(
            "logdet_drift_score_shift",
            "From -0.5, all rows score under the calibration rows, to 0.5, all over them.",
            labels=windowed,
        ),
    )
