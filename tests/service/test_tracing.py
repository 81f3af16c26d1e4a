"""Spans of requests, as an exporter in this process gets them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import StatusCode

from service import core as core_module
from service.config import ServiceConfig
from service.core import Core
from service.errors import StartError
from service.http.app import App, build_app
from service.http.request_id import HideRequestId
from service.model import Model
from service.tracing import exporting, spans
from service.tracing.exporting import Telling, provider, resource
from service.tracing.spans import Tracing
from service.tracing.start import tracing_of
from tests.engines import ROOT
from tests.rpc import DENSITY, INFERENCE, serving

PATH = "/v1/models/gauss/log_prob"
GOOD = {"rows": [[10.0, -3.0, 40, 7.1]]}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
SECRET = "/secret/path"  # noqa: S105 - not one


class Traced:
    """A core whose spans are kept."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, sampler: Sampler) -> None:
        self.kept = InMemorySpanExporter()
        made = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        made.add_span_processor(SimpleSpanProcessor(self.kept))
        monkeypatch.setattr(core_module, "tracing_of", lambda *_: Tracing(made))
        config = ServiceConfig(bundles=root, provider="cpu", sessions=1, chunk_rows=64)
        self.core = Core(config)
        self.core.load()
        self.app = build_app(self.core)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.kept.get_finished_spans() if span.name == name]

    def ask(self, *requests: dict[str, Any], path: str = PATH) -> list[httpx.Response]:
        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                posts = [client.post(path, **({"json": GOOD} | more)) for more in requests]
                return list(await asyncio.gather(*posts))

        return asyncio.run(send())


@pytest.fixture
def make(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sampler], Traced]:
    return lambda sampler: Traced(root, monkeypatch, sampler)


@pytest.fixture
def traced(make: Callable[[Sampler], Traced]) -> Traced:
    return make(ParentBased(ALWAYS_ON))


def of_trace(span: ReadableSpan) -> str:
    return format(span.context.trace_id, "032x")  # type: ignore[union-attr]


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def ids(found: Sequence[ReadableSpan]) -> list[int]:
    return [span.context.span_id for span in found]  # type: ignore[union-attr]


def test_off_there_is_no_span_and_nothing_of_opentelemetry_is_loaded(core: Core) -> None:
    assert core.tracing is None
    assert type(build_app(core)) is App
    program = (
        "import sys; from service.config import ServiceConfig; from service.core import Core; "
        "from service.http.app import build_app; from service.grpc.server import GrpcServer; "
        "import service.embedded; core = Core(ServiceConfig()); core.load(); build_app(core); "
        "GrpcServer(core)._calls(); "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_a_request_has_a_queue_and_a_run(traced: Traced) -> None:
    rows = {"rows": GOOD["rows"] * 3}
    (answer,) = traced.ask({"json": rows, "headers": {"x-request-id": "a-7"}})
    assert answer.status_code == 200
    (request,), (queue,), (compute,) = map(traced.spans, ("log_prob", "queue", "compute"))
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "logdet.protocol": "http",
        "logdet.model": "gauss",
        "logdet.version": "1",
        "logdet.request_id": "a-7",
        "logdet.rows": 3,
    }
    assert request.parent is None
    assert [parent(queue), parent(compute)] == ids([request]) * 2
    assert dict(queue.attributes or {}) == {"logdet.job.rows": 3}
    told = {"logdet.part.rows": 3, "logdet.run.rows": 3, "logdet.run.requests": 1}
    assert dict(compute.attributes or {}) == told
    assert not compute.links
    times = [request.start_time, queue.start_time, queue.end_time, compute.start_time]
    times += [compute.end_time, request.end_time]
    assert times == sorted(times)  # type: ignore[type-var]


def test_a_long_request_has_a_queue_and_several_runs(traced: Traced) -> None:
    traced.ask({"json": {"rows": GOOD["rows"] * 130}})
    parts = [span.attributes["logdet.part.rows"] for span in traced.spans("compute")]  # type: ignore[index]
    assert parts == [64, 64, 2]
    assert len(traced.spans("queue")) == 1
    assert traced.spans("log_prob")[0].attributes["logdet.rows"] == 130  # type: ignore[index]


@pytest.mark.parametrize("kept", [SAMPLED, UNSAMPLED])
def test_the_traceparent_says_which_trace_and_whether(traced: Traced, kept: str) -> None:
    traced.ask({"headers": {"traceparent": kept}})
    if kept == UNSAMPLED:
        assert not traced.kept.get_finished_spans()
        return
    assert {of_trace(span) for span in traced.kept.get_finished_spans()} == {TRACE}
    assert parent(traced.spans("log_prob")[0]) == int(PARENT, 16)


@pytest.mark.parametrize("wrong", ["", "00-zz-1-01", f"00-{'0' * 32}-{PARENT}-01", "x" * 5000])
def test_a_traceparent_that_is_none_begins_a_trace(traced: Traced, wrong: str) -> None:
    (answer,) = traced.ask({"headers": {"traceparent": wrong}})
    assert answer.status_code == 200
    assert traced.spans("log_prob")[0].parent is None


def test_what_is_not_sampled_has_no_spans(make: Callable[[Sampler], Traced]) -> None:
    traced = make(ParentBased(ALWAYS_OFF))
    assert traced.ask({})[0].status_code == 200
    assert not traced.kept.get_finished_spans()
    traced.ask({"headers": {"traceparent": SAMPLED}})
    assert len(traced.kept.get_finished_spans()) == 3


def test_requests_in_one_run_are_linked(traced: Traced) -> None:
    traced.ask(*[{}] * 4)
    requests, computes = traced.spans("log_prob"), traced.spans("compute")
    shared = [span for span in computes if span.attributes["logdet.run.requests"] == 4]  # type: ignore[index]
    assert len({of_trace(span) for span in requests}) == 4
    assert len(shared) == 4, "they did not share a run"
    first, *others = shared
    linked = sorted(link.context.span_id for link in first.links)
    assert linked == sorted(set(ids(requests)) - {parent(first)})
    for other in others:
        assert [link.context.span_id for link in other.links] == ids([first])
    assert {parent(span) for span in shared} == set(ids(requests))


def test_requests_that_are_not_sampled_are_counted_and_not_linked(traced: Traced) -> None:
    traced.ask({}, {"headers": {"traceparent": UNSAMPLED}})
    (compute,) = traced.spans("compute")
    assert compute.attributes["logdet.run.requests"] == 2  # type: ignore[index]
    assert not compute.links


def test_a_refusal_is_told_and_is_no_error_of_the_service(traced: Traced) -> None:
    (answer,) = traced.ask({"json": {"rows": [[1.0]]}})
    assert answer.status_code == 400
    (request,) = traced.spans("log_prob")
    assert request.attributes["error.type"] == "invalid_input"  # type: ignore[index]
    assert request.status.status_code is StatusCode.UNSET
    assert not traced.spans("compute")


def test_a_failed_run_is_an_error_whose_message_stays_in_the_log(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(SECRET)

    monkeypatch.setattr(Model, "evaluate", fail)
    assert {answer.status_code for answer in traced.ask({}, {})} == {500}
    for span in [*traced.spans("log_prob"), *traced.spans("compute")]:
        assert span.status.status_code is StatusCode.ERROR
        assert SECRET not in span.to_json()
    kinds = {
        span.attributes["error.type"]
        for span in traced.kept.get_finished_spans()
        if span.name != "queue"
    }  # type: ignore[index]
    assert kinds == {"internal", "OSError"}
    # The one run of both, and one of each alone; but both waited once.
    assert (len(traced.spans("compute")), len(traced.spans("queue"))) == (4, 2)


def test_a_request_that_nobody_waits_for_any_more_says_so(traced: Traced) -> None:
    async def leave() -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "headers": [],
            "query_string": b"",
        }
        task = asyncio.ensure_future(traced.app(scope, asyncio.Event().wait, asyncio.sleep))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    (request,) = traced.spans("log_prob")
    told = dict(request.attributes or {})
    assert (told["http.response.status_code"], told["error.type"]) == (499, "cancelled")


def test_what_only_looks_is_not_traced(traced: Traced) -> None:
    async def look() -> int:
        transport = httpx.ASGITransport(traced.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/metrics")).status_code

    assert asyncio.run(look()) == 200
    assert not traced.kept.get_finished_spans()


def test_an_id_that_another_server_answers_with_is_told(traced: Traced) -> None:
    traced.app = HideRequestId(traced.app, sane=True)  # type: ignore[assignment]
    (answer,) = traced.ask({"headers": {"x-request-id": "b-8"}})
    assert "x-request-id" not in answer.headers
    assert traced.spans("log_prob")[0].attributes["logdet.request_id"] == "b-8"  # type: ignore[index]


def test_calls_of_grpc_have_the_same_spans(traced: Traced) -> None:
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 4]}
    tensor["contents"] = {"fp64_contents": GOOD["rows"][0]}
    with serving(traced.core) as rpc:
        rpc.call(INFERENCE, "ServerReady")
        rpc.call(INFERENCE, "ModelInfer", model_name="gauss", id="c-9", inputs=[tensor])
        refused = rpc.refused(DENSITY, "LogProb", model="nobody")
    assert refused.code() is grpc.StatusCode.NOT_FOUND
    requests = [span for span in traced.kept.get_finished_spans() if span.kind.name == "SERVER"]
    answered, wrong = (dict(span.attributes or {}) for span in requests)
    assert answered["logdet.request_id"] == "c-9"
    assert (answered["logdet.protocol"], answered["rpc.grpc.status_code"]) == ("grpc", 0)
    assert (answered["logdet.model"], answered["logdet.rows"]) == ("gauss", 1)
    assert (wrong["rpc.grpc.status_code"], wrong["error.type"]) == (5, "not_found")
    assert parent(traced.spans("compute")[0]) == ids(requests)[0]


def test_the_metadata_of_a_call_say_which_trace(traced: Traced) -> None:
    with serving(traced.core) as rpc:
        metadata = (("traceparent", SAMPLED), ("x-request-id", "d-1"))
        call = rpc.channel.unary_unary(f"/{INFERENCE}/ModelInfer")
        with pytest.raises(grpc.RpcError):
            call(b"", timeout=10, metadata=metadata)
    (request,) = traced.kept.get_finished_spans()
    assert (of_trace(request), parent(request)) == (TRACE, int(PARENT, 16))
    assert request.attributes["logdet.request_id"] == "d-1"  # type: ignore[index]


class Slow:
    """A collector that takes its time."""

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        time.sleep(30)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Does not wake anybody."""


@pytest.fixture
def small_queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setattr(exporting, "OTLPSpanExporter", Slow)
    return iter([None])


@pytest.mark.usefixtures("small_queue")
def test_a_collector_that_does_not_answer_holds_up_nothing(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "CLOSE_S", 0.2)
    monkeypatch.setattr(core_module, "tracing_of", tracing_of)
    core = Core(traced.core.config.model_copy(update={"tracing": True}))
    core.load()
    traced.app = build_app(core)
    started = time.monotonic()
    assert {answer.status_code for answer in traced.ask(*[{}] * 50)} == {200}
    asyncio.run(core.drain())
    assert time.monotonic() - started < 5.0


def test_the_log_says_once_that_spans_are_lost(caplog: pytest.LogCaptureFixture) -> None:
    results = [SpanExportResult.FAILURE, SpanExportResult.FAILURE, SpanExportResult.SUCCESS]

    class Failing(Slow):
        def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
            return results.pop(0)

    telling = Telling(Failing())  # type: ignore[arg-type]
    with caplog.at_level("INFO"):
        for _ in range(3):
            telling.export([])
    assert ["lost" in line for line in caplog.messages] == [True, False]


def test_the_name_of_the_service_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource("r1").attributes["service.name"] == "logdet"
    assert resource("r1").attributes["service.instance.id"] == "r1"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fraud")
    assert resource("r1").attributes["service.name"] == "fraud"


def test_without_opentelemetry_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "service.tracing.exporting", None)
    with pytest.raises(StartError, match=r"logdet\[tracing\]"):
        tracing_of(ServiceConfig(tracing=True), "0")


def test_a_variable_that_cannot_be_used_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(StartError, match="OTEL_"):
        provider("0")
