"""Traces of both engines, as a collector on loopback gets them."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from logdet import Client
from tests.bundles import ordinary_rows
from tests.collector import Received, collector
from tests.engines import Running, embedded, on_ray

pytestmark = pytest.mark.serve

PATH = "/v1/models/gauss/log_prob"
BODY = {"rows": ordinary_rows(2).tolist()}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "a-7"}

Engine = Callable[[Path, Mapping[str, str]], AbstractContextManager[Running]]


@pytest.fixture
def received() -> Iterator[Received]:
    with collector() as found:
        yield found


def settings(url: str, **more: str) -> dict[str, str]:
    sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    return {"LOGDET_TRACING": "true", **sent, **more}


@pytest.mark.parametrize("engine", [embedded, on_ray])
def test_http_and_grpc_send_spans_of_the_callers_trace(
    engine: Engine, bundles: Path, received: Received
) -> None:
    with engine(bundles, settings(received.url)) as running:
        answer = httpx.post(running.url + PATH, json=BODY, headers=HEADERS)
        assert answer.status_code == 200
        assert "a-7" in answer.headers["x-request-id"]
        (request,) = received.wait(1, "log_prob")
        address = re.search(r"gRPC on ([\d.:]+)", running.banner)
        assert address
        with Client(f"grpc://{address[1]}") as client:
            client.log_prob("gauss", ordinary_rows(3))
    # What was not sent yet is sent when the service stops.
    by_protocol = {s.told["logdet.protocol"]: s for s in received.wait(2, "log_prob")}
    assert by_protocol["http"] == request
    assert (request.trace, request.parent) == (TRACE, PARENT)
    assert request.told["logdet.request_id"] == "a-7"
    assert request.told["logdet.rows"] == 2
    assert by_protocol["grpc"].told["logdet.rows"] == 3
    for span in by_protocol.values():
        inside = [s for s in received.spans if s.parent == span.id]
        assert [s.name for s in inside] == ["queue", "compute"]
        assert {s.trace for s in inside} == {span.trace}
        assert all(span.start <= s.start <= s.end <= span.end for s in inside)
    for told in received.resources:
        assert told["service.name"] == "logdet"
        assert told["service.instance.id"]


def test_the_sampler_of_the_environment_is_followed(bundles: Path, received: Received) -> None:
    off = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    with embedded(bundles, settings(received.url, **off)) as running:
        for headers in ({}, HEADERS, {}):
            assert httpx.post(running.url + PATH, json=BODY, headers=headers).status_code == 200
    assert {span.trace for span in received.wait(3)} == {TRACE}
    assert len(received.spans) == 3


def away() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("answers", [False, True])
def test_a_collector_that_is_away_or_hangs_costs_no_request(
    bundles: Path, capfd: pytest.CaptureFixture[str], answers: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}" if answers else away()
        with embedded(bundles, settings(url)) as running, httpx.Client() as client:
            assert client.post(running.url + PATH, json=BODY).status_code == 200
            times = []
            for _ in range(200):
                started = time.monotonic()
                assert client.post(running.url + PATH, json=BODY).status_code == 200
                times.append(time.monotonic() - started)
            assert client.get(running.url + "/healthz").status_code == 200
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 10.0
    assert sorted(times)[100] < 0.1
    assert capfd.readouterr().err.count("lost until it does") <= 1


def test_off_nothing_is_sent(bundles: Path, received: Received) -> None:
    with embedded(bundles, {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}) as running:
        assert httpx.post(running.url + PATH, json=BODY, headers=HEADERS).status_code == 200
    assert not received.spans
