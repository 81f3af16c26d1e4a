"""The spans of a request: the request itself, and for each of its jobs the queue and the runs.

Spans say how much and how long, and never what: no rows, no values, no messages of exceptions.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.execution import Outcome, execute
from service.jobs import Job, Part
from service.lanes import Run
from service.tracing.current import CURRENT

HEADERS = ("traceparent", "tracestate")  # of W3C Trace Context
# A stop waits no longer for a collector; what is not sent then is lost.
CLOSE_S = 2.0

Attributes = Mapping[str, str | int]


class Trace:
    """What is known of one request that is traced.

    Args:
        span: Of the request, recording.

    Attributes:
        rows: That models have answered for it.
        seen: Those of its jobs that have been in a run.
    """

    __slots__ = ("_span", "inside", "rows", "seen")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.inside: Context = set_span_in_context(span)
        self.rows = 0
        self.seen: set[Job] = set()

    def link(self) -> Link:
        """A link to the request."""
        return Link(self._span.get_span_context())

    def tell(self, name: str, attributes: Attributes) -> None:
        """What the request was, once that is known."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)

    def fail(self, kind: str, *, ours: bool) -> None:
        """The request was refused or failed; ``ours`` says that the service is to blame."""
        self._span.set_attribute("error.type", kind)
        if ours:
            self._span.set_status(Status(StatusCode.ERROR, kind))


Traced = tuple[Part, Trace]


class Tracing:
    """Makes the spans of one replica.

    Args:
        provider: Of OpenTelemetry: samples, and sends what it has sampled.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("logdet")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, carrier: Mapping[str, str]) -> Iterator[Trace | None]:
        """A request, from its headers to its answer; None if it is not sampled.

        Args:
            carrier: Of its headers those that :data:`HEADERS` names.
        """
        came_of = self._propagator.extract(carrier) if carrier else Context()
        span = self._tracer.start_span("request", came_of, SpanKind.SERVER)
        if not span.is_recording():
            yield None
            return
        trace = Trace(span)
        before = CURRENT.set(trace)
        try:
            yield trace
        except asyncio.CancelledError:
            trace.fail("cancelled", ours=False)
            raise
        finally:
            CURRENT.reset(before)
            if trace.rows:
                span.set_attribute("logdet.rows", trace.rows)
            span.end()

    def execute(self, run: Run, parts: Sequence[Part]) -> Outcome:
        """Run parts, as :func:`service.execution.execute` does, and tell the traces among them."""
        traced = [(part, part.job.trace) for part in parts if part.job.trace is not None]
        if not traced:
            return execute(run, parts)
        self._queued(traced)
        started, failed = time.time_ns(), ""
        try:
            return execute(run, parts)
        except Exception as error:
            failed = type(error).__name__
            raise
        finally:
            shared = {
                "logdet.run.rows": sum(part.stop - part.start for part in parts),
                "logdet.run.requests": len(parts),
            }
            self._computed(traced, shared, started, failed)

    async def close(self) -> None:
        """Send what waits to be sent, for a bounded time."""
        # Not a worker of the loop's own, for which the end of the process would wait.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, CLOSE_S)

    def _queued(self, traced: Sequence[Traced]) -> None:
        """A span for each job whose first run this is, from its admission until now."""
        at, now = time.perf_counter(), time.time_ns()
        for (job, _, _), trace in traced:
            if job in trace.seen:
                continue
            trace.seen.add(job)
            since = now - int((at - job.admitted) * 1e9)
            rows = {"logdet.job.rows": job.rows}
            self._tracer.start_span("queue", trace.inside, attributes=rows, start_time=since).end(
                now
            )

    def _computed(
        self, traced: Sequence[Traced], shared: Attributes, started: int, failed: str
    ) -> None:
        """A span for each traced request of a run.

        The first one's links to the other requests in the run, and the others' to that: as many
        links as requests, and not as many as pairs of them.
        """
        ended = time.time_ns()
        links = [trace.link() for _, trace in traced[1:]]
        for place, (part, trace) in enumerate(traced):
            rows = {"logdet.part.rows": part.stop - part.start}
            span = self._tracer.start_span(
                "compute",
                trace.inside,
                attributes=rows | dict(shared),
                links=links,
                start_time=started,
            )
            if place == 0:
                links = [Link(span.get_span_context())]
            if failed:
                span.set_attribute("error.type", failed)
                span.set_status(Status(StatusCode.ERROR, failed))
            span.end(ended)
