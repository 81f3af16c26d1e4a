"""What holds for calls of every method: errors, limits, deadlines, counts, health, stopping."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.grpc import server as grpc_server
from service.grpc.errors import STATUS
from service.oip.inference import Inference
from service.oip.models import Target
from tests.rpc import DENSITY, HEALTH, INFERENCE, Rpc, kind_of, plain, serving

LIMIT_BYTES = 10_000


@pytest.fixture
def limited(root: Path) -> Core:
    config = ServiceConfig(bundles=root, provider="cpu", sessions=1, allow_loading=True)
    core = Core(config.model_copy(update={"limit_body_bytes": LIMIT_BYTES}))
    core.load()
    return core


@pytest.fixture
def rpc(limited: Core) -> Iterator[Rpc]:
    with serving(limited) as running:
        yield running


def counted(core: Core, **labels: str) -> float:
    return sum(
        sample.value
        for family in core.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "logdet_requests_total"
        and labels.items() <= sample.labels.items()
        and sample.labels["protocol"] == "grpc"
    )


def rejected(core: Core, reason: str) -> float:
    labels = {"replica": "0", "reason": reason}
    return core.metrics.registry.get_sample_value("logdet_rejected_total", labels) or 0.0


def test_every_kind_has_a_status() -> None:
    assert STATUS.keys() == set(ErrorKind)
    assert grpc.StatusCode.OK not in STATUS.values()


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_reaches_the_client_with_its_sentence(
    kind: ErrorKind, rpc: Rpc, limited: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Inference, target: Target, request: object) -> None:
        raise ServiceError(kind, "expected a, got b é")

    monkeypatch.setattr(Inference, "infer", refuse)
    error: Any = rpc.refused(INFERENCE, "ModelInfer", model_name="gauss")
    assert (error.code(), error.details()) == (STATUS[kind], "expected a, got b é")
    assert kind_of(error) == kind
    retryable = {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.NOT_READY}
    assert ("retry-after" in dict(error.trailing_metadata())) == (kind in retryable)
    assert rejected(limited, kind) == 1
    assert counted(limited, code=STATUS[kind].name, model="gauss", version="1") == 1


def test_what_nobody_foresaw_is_logged_and_not_shown(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(self: Inference, target: Target, request: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(Inference, "infer", fail)
    error: Any = rpc.refused(INFERENCE, "ModelInfer", model_name="gauss")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()
    assert "secret" not in str(error.trailing_metadata())
    assert "/secret/path" in caplog.text


def test_a_very_long_sentence_still_reaches_the_client(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Inference, target: Target, request: object) -> None:
        raise ServiceError(ErrorKind.NOT_FOUND, "é" * 100_000)

    monkeypatch.setattr(Inference, "infer", refuse)
    error: Any = rpc.refused(INFERENCE, "ModelInfer", model_name="gauss")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details().startswith("ééé")
    assert kind_of(error) == "not_found"


@pytest.mark.parametrize("service", [INFERENCE, DENSITY, HEALTH])
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe"])
def test_bytes_that_are_no_message_are_refused(service: str, data: bytes, rpc: Rpc) -> None:
    method = {INFERENCE: "ModelInfer", DENSITY: "LogProb", HEALTH: "Check"}[service]
    with pytest.raises(grpc.RpcError) as caught:
        rpc.raw(service, method, data)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("expected a message ")
    assert rpc.call(HEALTH, "Check").status == 1


@pytest.mark.parametrize("factor", [1, 1000])
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_refused(
    factor: int, compression: grpc.Compression, rpc: Rpc
) -> None:
    request = plain("inference.ModelInferRequest")(
        model_name="gauss", raw_input_contents=[bytes(factor * LIMIT_BYTES)]
    )
    send = rpc.channel.unary_unary(f"/{INFERENCE}/ModelInfer")
    with pytest.raises(grpc.RpcError) as caught:
        send(request.SerializeToString(), timeout=10, compression=compression)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    if factor == 1:
        assert f"at most {LIMIT_BYTES} bytes" in error.details()
        assert kind_of(error) == "too_large"


def test_a_method_that_is_not_there_is_unimplemented(rpc: Rpc) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        rpc.raw(INFERENCE, "TraceSetting", b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def held_infer(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Make inference wait for ever; events for its begin and its cancellation."""
    begun, cancelled = threading.Event(), threading.Event()

    async def wait(self: Inference, target: Target, request: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monkeypatch.setattr(Inference, "infer", wait)
    return begun, cancelled


def test_a_deadline_ends_the_work(
    rpc: Rpc, limited: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, cancelled = held_infer(monkeypatch)
    data = plain("inference.ModelInferRequest")(model_name="gauss").SerializeToString()
    rpc.call(HEALTH, "Check")  # connected, so that the time is the work's
    with pytest.raises(grpc.RpcError) as caught:
        rpc.raw(INFERENCE, "ModelInfer", data, timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert begun.is_set()
    assert cancelled.wait(2)
    assert within(2, lambda: counted(limited, code="DEADLINE_EXCEEDED") == 1)


def test_a_client_that_goes_away_ends_the_work(
    rpc: Rpc, limited: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, cancelled = held_infer(monkeypatch)
    data = plain("inference.ModelInferRequest")(model_name="gauss").SerializeToString()
    call = rpc.channel.unary_unary(f"/{INFERENCE}/ModelInfer").future(data)
    assert begun.wait(2)
    call.cancel()
    assert cancelled.wait(2)
    assert within(2, lambda: counted(limited, code="CANCELLED") == 1)


def within(seconds: float, holds: Any) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("name", ["", "gauss", "gauss.sample", INFERENCE, DENSITY])
def test_health_is_told_of_the_service_and_of_its_models(name: str, rpc: Rpc) -> None:
    assert rpc.call(HEALTH, "Check", service=name).status == 1


def test_health_of_nothing_known(rpc: Rpc) -> None:
    error: Any = rpc.refused(HEALTH, "Check", service="nobody")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert next(watch(rpc, "nobody")) == 3


def test_the_health_client_of_grpc_understands_it(rpc: Rpc) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(rpc.channel)  # type: ignore[no-untyped-call]
    answer = stub.Check(health_pb2.HealthCheckRequest(service="gauss"), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def watch(rpc: Rpc, name: str) -> Iterator[int]:
    """Statuses as they are told."""
    request = plain("grpc.health.v1.HealthCheckRequest")(service=name)
    kind = plain("grpc.health.v1.HealthCheckResponse")
    call = rpc.channel.unary_stream(f"/{HEALTH}/Watch")(request.SerializeToString(), timeout=20)
    try:
        for data in call:
            yield kind.FromString(data).status
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
            raise
    finally:
        call.cancel()


def test_a_watch_sees_a_model_go_and_come_and_the_service_stop(rpc: Rpc) -> None:
    statuses = watch(rpc, "gauss")
    assert next(statuses) == 1
    rpc.call(INFERENCE, "RepositoryModelUnload", model_name="gauss")
    assert next(statuses) == 3
    rpc.call(INFERENCE, "RepositoryModelLoad", model_name="gauss")
    assert next(statuses) == 1
    begun = time.monotonic()
    rpc.stop()
    assert list(statuses) == [2]
    assert time.monotonic() - begun < 2


def test_a_stop_waits_for_calls_in_flight_and_takes_no_more(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()
    infer = Inference.infer

    async def held(self: Inference, target: Target, request: Any) -> Any:
        begun.set()
        await asyncio.to_thread(go.wait, 5)
        return await infer(self, target, request)

    monkeypatch.setattr(Inference, "infer", held)
    data = plain("inference.ModelInferRequest")(
        model_name="gauss.sample",
        inputs=[{"name": "n", "datatype": "INT64", "shape": [1]}],
        raw_input_contents=[(2).to_bytes(8, "little")],
    ).SerializeToString()
    call = rpc.channel.unary_unary(f"/{INFERENCE}/ModelInfer").future(data)
    assert begun.wait(2)
    stopping = threading.Thread(target=rpc.stop)
    stopping.start()
    assert within(2, lambda: is_refused(rpc))
    go.set()
    assert len(plain("inference.ModelInferResponse").FromString(call.result(5)).outputs) > 0
    stopping.join()


def is_refused(rpc: Rpc) -> bool:
    try:
        rpc.call(HEALTH, "Check")
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    return False


def test_a_service_must_have_every_method_of_its_proto(limited: Core) -> None:
    calls = grpc_server.Calls(limited, asyncio.Event(), asyncio.Event())
    with pytest.raises(ValueError, match="Watch"):
        calls.handlers(HEALTH, {"Check": None})  # type: ignore[dict-item]
