"""Where spans go: to a collector by OTLP over HTTP, as the variables ``OTEL_*`` say.

They wait in a queue that is bounded, from which one thread sends them; when it is full, new ones
are dropped. So no request waits for a collector, nor fails with it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from service.errors import StartError
from service.metrics import own_version

# These say the same again at each attempt; one line when it begins and one when it ends is enough.
_TALKATIVE = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")

log = logging.getLogger(__name__)


class Telling(SpanExporter):
    """Sends spans by another exporter, and says in the log when that begins or ceases to fail.

    Args:
        exporter: The other one.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See :class:`SpanExporter`."""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failed:
            log.warning("the collector of traces does not take spans: they are lost until it does")
        elif self._failed and not failed:
            log.info("the collector of traces takes spans again")
        self._failed = failed
        return result

    def shutdown(self) -> None:
        """See :class:`SpanExporter`."""
        self._exporter.shutdown()


def provider(replica: str) -> TracerProvider:
    """What spans are made with, as the environment says.

    Raises:
        StartError: If the environment says nothing usable.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        made = TracerProvider(resource=resource(replica), shutdown_on_exit=False)
        made.add_span_processor(BatchSpanProcessor(Telling(OTLPSpanExporter())))
    except ValueError as error:
        raise StartError(f"a variable OTEL_* of tracing cannot be used: {error}") from error
    return made


def resource(replica: str) -> Resource:
    """Who made a span: name and version of the service, and the replica."""
    ours = {SERVICE_VERSION: own_version(), SERVICE_INSTANCE_ID: replica}
    if not OTELResourceDetector().detect().attributes.get(SERVICE_NAME):
        ours[SERVICE_NAME] = "logdet"  # which would prevail over a name of the environment
    return Resource.create(ours)
