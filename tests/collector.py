"""A collector of traces on loopback: takes what is sent by OTLP over HTTP, and can misbehave."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_S = 10.0


@dataclass(slots=True)
class Span:
    """A span as it was sent; ids in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    told: dict[str, Any]
    links: list[tuple[str, str]]
    start: int
    end: int
    is_error: bool


@dataclass(slots=True)
class Received:
    """What came; ``url`` is where to send it."""

    url: str
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    def wait(self, count: int, name: str = "") -> list[Span]:
        """Spans of a name, once there are so many."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            found = [span for span in self.spans if name in ("", span.name)]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise TimeoutError(f"expected {count} spans {name!r}, got {self.spans}")


@contextmanager
def collector() -> Iterator[Received]:
    """A collector."""
    received = Received("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            _take(received, ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _take(received: Received, request: ExportTraceServiceRequest) -> None:
    for of_one in request.resource_spans:
        received.resources.append(_told(of_one.resource.attributes))
        for scope in of_one.scope_spans:
            received.spans += [_span(span) for span in scope.spans]


def _span(span: Any) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        told=_told(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        is_error=span.status.code == 2,
    )


def _told(attributes: Any) -> dict[str, Any]:
    found = {}
    for one in attributes:
        (kind, value), *_ = MessageToDict(one.value).items()
        found[one.key] = int(value) if kind == "intValue" else value
    return found
