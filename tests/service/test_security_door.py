"""The door in front of both protocols: who is let in, what the others are told, what is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from service.config import ServiceConfig
from service.core import Core
from service.http.app import App, build_app
from service.http.door import is_open
from tests.engines import embedded
from tests.rpc import DENSITY, HEALTH, INFERENCE, Rpc, kind_of, plain, plain_pool, serving
from tests.service.test_http import GOOD, ask

TOKEN = "a-token-of-the-tests-0123456789abcdef"  # noqa: S105 - of nobody
SHOWN = {"authorization": f"Bearer {TOKEN}"}
OTHER = {"authorization": "Bearer another-token-0123456789"}


@pytest.fixture(scope="module")
def tokens_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "tokens"
    path.write_text(f"tester {TOKEN}\n")
    return path


def guarded_core(root: Path, tokens_file: Path, rate: float | None = None) -> Core:
    core = Core(
        ServiceConfig(
            bundles=root,
            provider="cpu",
            sessions=1,
            tokens_file=tokens_file,
            limit_token_rate=rate,
        )
    )
    core.load()
    return core


@pytest.fixture(scope="module")
def guarded(root: Path, tokens_file: Path) -> Core:
    return guarded_core(root, tokens_file)


@pytest.fixture(scope="module")
def app(guarded: Core) -> App:
    return build_app(guarded)


@pytest.fixture(scope="module")
def rpc(guarded: Core) -> Iterator[Rpc]:
    with serving(guarded) as rpc:
        yield rpc


def score(app: App, headers: dict[str, str]) -> httpx.Response:
    return ask(app, "POST", "/v1/models/gauss/score", json=GOOD, headers=headers)


@pytest.mark.parametrize("headers", [{}, OTHER, {"authorization": f"Basic {TOKEN}"}])
def test_a_request_without_a_known_token_is_401(app: App, headers: dict[str, str]) -> None:
    response = score(app, headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["kind"] == "unauthorized"
    assert "retry-after" not in response.headers


def test_a_request_with_one_is_answered(app: App) -> None:
    assert score(app, SHOWN).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/health/ready/", 200),
        ("/docs", 200),
        ("/docs/start.js", 200),
        ("/metrics", 401),
        ("/openapi.json", 401),
        ("/v1/models", 401),
        ("/v1/models/gauss", 401),
        ("/v2", 401),
        ("/v2/models/gauss/ready", 401),
        ("/nothing", 401),
        ("/docs/%2e%2e/v1/models", 404),
        ("//v1/models", 401),
        ("/HEALTHZ", 401),
    ],
)
def test_probes_and_the_page_are_open_and_nothing_else(app: App, path: str, status: int) -> None:
    assert ask(app, "GET", path).status_code == status


def test_refusals_are_counted(root: Path, tokens_file: Path) -> None:
    core = guarded_core(root, tokens_file)
    app = build_app(core)
    score(app, OTHER)
    score(app, SHOWN)
    value = core.metrics.registry.get_sample_value
    assert value("logdet_rejected_total", {"replica": "0", "reason": "unauthorized"}) == 1
    told = {"replica": "0", "token": "tester", "outcome": "admitted"}
    assert value("logdet_token_requests_total", told) == 1


def test_too_many_requests_are_429_with_a_time_to_wait(root: Path, tokens_file: Path) -> None:
    app = build_app(guarded_core(root, tokens_file, rate=2.0))
    codes = [score(app, SHOWN).status_code for _ in range(2)]
    refused = score(app, SHOWN)
    assert codes == [200, 200]
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["kind"] == "rate_limited"
    assert ask(app, "GET", "/healthz").status_code == 200


def test_the_document_says_that_a_token_is_needed(app: App, core: Core) -> None:
    told = ask(app, "GET", "/openapi.json", headers=SHOWN).json()
    (name,) = told["components"]["securitySchemes"]
    assert told["components"]["securitySchemes"][name] == {"type": "http", "scheme": "bearer"}
    assert told["security"] == [{name: []}]
    for path, operations in told["paths"].items():
        for operation in operations.values():
            assert (operation.get("security") == []) == is_open(path), path
            assert ({"401", "429"} <= operation["responses"].keys()) != is_open(path), path
    plain = ask(build_app(core), "GET", "/openapi.json").json()
    assert "security" not in plain
    assert "securitySchemes" not in plain["components"]


def call(rpc: Rpc, service: str, method: str, metadata: dict[str, str]) -> Any:
    request = {"model": "gauss", "n": 1} if service == DENSITY else {}
    found = plain_pool().FindServiceByName(service).methods_by_name[method]
    data = plain(found.input_type.full_name)(**request).SerializeToString()
    pairs = tuple(metadata.items())
    return rpc.channel.unary_unary(f"/{service}/{method}")(data, timeout=10, metadata=pairs)


@pytest.mark.parametrize("metadata", [{}, OTHER])
@pytest.mark.parametrize(
    ("service", "method"),
    [(DENSITY, "Sample"), (INFERENCE, "ServerMetadata"), (INFERENCE, "RepositoryIndex")],
)
def test_a_call_without_a_known_token_is_unauthenticated(
    rpc: Rpc, service: str, method: str, metadata: dict[str, str]
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(rpc, service, method, metadata)
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert kind_of(error) == "unauthorized"
    assert TOKEN not in error.details()


def test_a_call_with_one_is_answered(rpc: Rpc) -> None:
    assert call(rpc, DENSITY, "Sample", SHOWN)


def test_methods_that_there_are_not_need_a_token_too(rpc: Rpc) -> None:
    for metadata, code in (
        ({}, grpc.StatusCode.UNAUTHENTICATED),
        (SHOWN, grpc.StatusCode.UNIMPLEMENTED),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            rpc.channel.unary_unary("/any.Service/Method")(
                b"", timeout=10, metadata=metadata.items()
            )
        assert refused.value.code() is code  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("service", "method"),
    [(HEALTH, "Check"), (INFERENCE, "ServerLive"), (INFERENCE, "ServerReady")],
)
def test_probes_of_grpc_are_open(rpc: Rpc, service: str, method: str) -> None:
    assert call(rpc, service, method, {}) is not None


def test_a_large_message_without_a_token_is_refused_unread(rpc: Rpc) -> None:
    beyond = bytes(80 * 2**20)  # grpc itself would refuse it, had it been read
    options = [("grpc.max_send_message_length", -1)]
    with (
        grpc.insecure_channel(rpc.address, options=options) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(f"/{DENSITY}/LogProb")(beyond, timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


def test_streams_are_refused_as_they_open_and_each_message_counts(
    root: Path, tokens_file: Path, guarded: Core
) -> None:
    core = guarded_core(root, tokens_file, rate=3.0)
    with serving(core) as rpc:
        opened = rpc.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as refused:
            next(opened(iter([b""]), timeout=10))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]
        answers = list(opened(iter([b""] * 4), timeout=10, metadata=tuple(SHOWN.items())))
    told = [b"requests a second" in answer for answer in answers]
    assert told == [False, False, True, True]


def test_no_token_is_logged_or_answered(
    app: App, rpc: Rpc, caplog: pytest.LogCaptureFixture
) -> None:
    secret = OTHER["authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.DEBUG):
        answers = [score(app, headers) for headers in (SHOWN, OTHER, {"authorization": TOKEN})]
        broken = ask(app, "POST", "/v1/models/gauss/score", content=b"{", headers=SHOWN)
        call(rpc, DENSITY, "Sample", SHOWN)
        with pytest.raises(grpc.RpcError) as refused:
            call(rpc, DENSITY, "Sample", OTHER)
        metrics = ask(app, "GET", "/metrics", headers=SHOWN).text
    for text in (
        caplog.text,
        metrics,
        repr(refused.value),
        *(a.text + repr(a.headers) for a in (*answers, broken)),
    ):
        assert TOKEN not in text
        assert secret not in text


def test_a_served_process_guards_both_protocols_and_tells_nobody_a_token(
    root: Path, tokens_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with embedded(root, {"LOGDET_TOKENS_FILE": str(tokens_file)}) as running:
        assert '-H "authorization: Bearer $LOGDET_TOKEN"' in running.banner
        url, rpc = running.url, running.banner.split("gRPC on ")[1].split()[0]
        codes = [
            httpx.post(f"{url}/v1/models/gauss/score", json=GOOD, headers=headers).status_code
            for headers in ({}, OTHER, SHOWN)
        ]
        assert codes == [401, 401, 200]
        with grpc.insecure_channel(rpc) as channel:
            ask_rpc = channel.unary_unary(f"/{INFERENCE}/ServerMetadata")
            with pytest.raises(grpc.RpcError):
                ask_rpc(b"", timeout=10)
            assert ask_rpc(b"", timeout=10, metadata=tuple(SHOWN.items()))
        banner = running.banner
    printed = capfd.readouterr()
    assert TOKEN not in banner + printed.out + printed.err
