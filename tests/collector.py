"""A collector of traces on loopback, which takes what is sent by OTLP over HTTP.

``python -m tests.collector`` prints what comes as text.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PORT = 4318  # where OpenTelemetry sends traces unless it is told otherwise
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
def collector(port: int = 0) -> Iterator[Received]:
    """A collector at a port, a free one if 0."""
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

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
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


def text(spans: Sequence[Span]) -> str:
    """Traces as trees: when a span began and how long it took, in ms, and what it tells."""
    inside = {span.parent: [one for one in spans if one.parent == span.parent] for span in spans}
    known = {span.id for span in spans}
    roots = [span for span in spans if span.parent not in known]
    return "\n\n".join(_tree(root, inside, root.start, 0) for root in roots)


def _tree(span: Span, inside: dict[str, list[Span]], zero: int, depth: int) -> str:
    began, took = (span.start - zero) / 1e6, (span.end - span.start) / 1e6
    head = f"{'  ' * depth}{span.name}" + ("  ERROR" if span.is_error else "")
    lines = [
        f"{head:<16}{began:>8.3f} ms + {took:.3f} ms  trace {span.trace[:8]} span {span.id[:8]}"
    ]
    lines += [f"{'  ' * depth}    {name} = {value}" for name, value in sorted(span.told.items())]
    lines += [
        f"{'  ' * depth}    link to span {link[:8]} of trace {t[:8]}" for t, link in span.links
    ]
    lines += [_tree(one, inside, zero, depth + 1) for one in inside.get(span.id, [])]
    return "\n".join(lines)


def main() -> None:
    """Print traces, each time that there has been no new span for a second."""
    with collector(PORT) as received:
        print(f"takes traces at {received.url}")  # noqa: T201
        told = 0
        while True:
            before = len(received.spans)
            time.sleep(1.0)
            if before == len(received.spans) > told:
                print(text(received.spans[told:]), end="\n\n", flush=True)  # noqa: T201
                told = before


if __name__ == "__main__":
    main()
