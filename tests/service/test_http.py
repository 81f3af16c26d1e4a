"""The ASGI application in this process, for what no running engine can be brought to do."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.examples import bodies
from service.http.app import App, build_app
from service.http.errors import STATUS, error_response, refusal
from service.http.kinds import KINDS, OPERATIONS
from service.http.schemas import Kind, Status
from service.operations.kinds import BY_KIND
from service.results import STATUSES

GOOD = {"rows": [[10.0, -3.0, 40, 7.1]]}


def ask(app: App, method: str, path: str, **options: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def score(app: App, body: Any = GOOD) -> httpx.Response:
    return ask(app, "POST", "/v1/models/gauss/score", json=body)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_of_error_has_a_status_and_the_same_shape(kind: ErrorKind) -> None:
    response = error_response(ServiceError(kind, "a reason"))
    assert response.status_code == STATUS[kind] >= 400
    assert json.loads(bytes(response.body)) == {"error": "a reason", "kind": kind.value}


def test_schemas_operations_and_tables_name_the_same_things(core: Core) -> None:
    taken = {"rows": {"rows"}, "latents": {"z"}, "count": set[str]()}
    for served, kind in KINDS.items():
        operations = BY_KIND[served]
        assert set(kind.requests) == set(kind.answers)
        assert set(kind.requests) - set(operations) <= {"expectation"}
        for name, operation in operations.items():
            fields = taken[operation.takes] | set(operation.settings)
            assert kind.fields[name] == fields | ({"context"} if operation.conditional else set())
            columns = {output.name for output in operation.outputs} | {"status"}
            assert columns <= set(kind.answers[name].model_fields)
    assert set(Kind.__args__) == {kind.value for kind in ErrorKind}  # type: ignore[attr-defined]
    assert Status.__args__ == STATUSES  # type: ignore[attr-defined]


def test_the_document_says_which_fields_may_be_null(core: Core) -> None:
    schemas = ask(build_app(core), "GET", "/openapi.json").json()["components"]["schemas"]
    fields = schemas["SampleBody"]["properties"] | schemas["ScoreBody"]["properties"]
    nullable = {name for name, field in fields.items() if field.get("nullable")}
    of_scores = {"alpha", "fdr", "by", "explain", "nearest"}
    assert nullable == of_scores | {"seed", "temperature", "context", "steps"}
    assert fields["alpha"]["exclusiveMinimum"] is True
    assert fields["fdr"]["exclusiveMaximum"] is True


OTHERS = {"feature_log_prob": "ordered", "scores": "scored"}
CASES = [
    (OTHERS.get(operation, name), operation)
    for name, kind in zip(("gauss", "vae", "auto"), KINDS.values(), strict=True)
    for operation in kind.requests
]


@pytest.mark.parametrize(("name", "operation"), CASES)
def test_answers_are_as_the_schemas_say(core: Core, name: str, operation: str) -> None:
    app = build_app(core)
    served = core.find(name)
    kind, body = KINDS[type(served)], bodies(served.model.manifest)[operation]
    kind.requests[operation].model_validate(body)
    response = ask(app, "POST", f"/v1/models/{name}/{operation}", json=body)
    assert response.status_code == 200, response.text
    kind.answers[operation].model_validate_json(response.content, extra="forbid")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_examples_are_requests_that_the_model_beside_them_answers(
    core: Core, operation: str
) -> None:
    app = build_app(core)
    document = ask(app, "GET", "/openapi.json").json()
    path = f"/v1/models/{{model}}/{operation}"
    described = document["paths"][path]["post"]
    model = described["parameters"][0]["schema"]["example"]
    example = described["requestBody"]["content"]["application/json"]["example"]
    response = ask(app, "POST", path.replace("{model}", model), json=example)
    assert response.status_code == 200, response.text


def test_the_document_has_a_schema_for_each_kind_of_model(core: Core) -> None:
    document = ask(build_app(core), "GET", "/openapi.json").json()
    post = document["paths"]["/v1/models/{model}/encode"]["post"]
    for content in (post["requestBody"], post["responses"]["200"]):
        found = content["content"]["application/json"]["schema"]["anyOf"]
        assert len(found) == 3
        for reference in found:
            name = reference["$ref"].rpartition("/")[2]
            assert name in document["components"]["schemas"]


def test_an_error_that_nobody_foresaw_says_nothing_of_the_inside(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(x: object) -> Any:
        raise RuntimeError("secret /root/path")

    app = build_app(core)
    core.find("gauss").lanes().evaluate.run = broken
    with caplog.at_level(logging.ERROR):
        response = score(app)
    assert response.status_code == 500
    assert response.json()["kind"] == "internal"
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_what_is_refused_is_counted_by_its_reason(core: Core) -> None:
    app = build_app(core)
    score(app, {"rows": []})
    ask(app, "POST", "/v1/models/nobody/score", json=GOOD)
    ask(app, "POST", "/v1/models/gauss/'; drop", json=GOOD)
    value = core.metrics.registry.get_sample_value
    for reason in ("invalid_input", "not_found", "unsupported"):
        assert value("logdet_rejected_total", {"replica": "0", "reason": reason}) == 1
    unknown = {"model": "", "version": "", "method": "score", "protocol": "http", "code": "404"}
    assert value("logdet_requests_total", {"replica": "0"} | unknown) == 1
    assert "; drop" not in core.metrics.snapshot()


def test_a_service_that_is_stopping_says_so(core: Core) -> None:
    app = build_app(core)
    asyncio.run(core.drain())
    response = score(app)
    assert response.status_code == 503
    assert response.json()["kind"] == "not_ready"
    assert response.headers["retry-after"] == "1"


def test_a_request_past_its_time_is_given_up(core: Core) -> None:
    hasty = Core(core.config.model_copy(update={"request_timeout_s": 1e-6}))
    hasty.load()
    response = score(build_app(hasty))
    assert response.status_code == 504
    assert response.json()["kind"] == "deadline"


def test_a_request_id_that_is_not_sane_does_not_come_back(core: Core) -> None:
    for bad in ("a b<script>", "x" * 129, ""):
        response = ask(build_app(core), "GET", "/healthz", headers={"x-request-id": bad})
        assert "x-request-id" not in response.headers


def test_a_client_that_goes_away_frees_its_place(core: Core) -> None:
    app = build_app(core)
    body = json.dumps({"n": 100_000, "seed": 0}).encode()
    sent: list[Any] = []

    async def work() -> None:
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/models/gauss/sample",
            "headers": [(b"content-type", b"application/json")],
        }
        await app(scope, receive, send)
        await asyncio.sleep(0)

    asyncio.run(work())
    assert sent == []
    assert core.metrics.registry.get_sample_value("logdet_queue_rows", {"replica": "0"}) == 0
    assert core.metrics.registry.get_sample_value("logdet_cancelled_total", {"replica": "0"}) == 1


def test_the_metrics_page_may_come_from_elsewhere(core: Core) -> None:
    async def page() -> str:
        return "merged\n"

    assert ask(build_app(core, page), "GET", "/metrics").text == "merged\n"


def test_the_application_takes_part_in_the_lifespan_protocol(core: Core) -> None:
    sent: list[str] = []

    async def work() -> None:
        messages = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]

        async def receive() -> Any:
            return messages.pop()

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await build_app(core)({"type": "lifespan"}, receive, send)

    asyncio.run(work())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200))
def test_no_body_brings_the_service_down(app: App, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = ask(app, "POST", "/v1/models/gauss/score", content=body, headers=headers)
    assert response.status_code in (200, 400)


@pytest.fixture(scope="module")
def app(root: Any) -> App:
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1))
    core.load()
    return build_app(core)


def test_unknown_exceptions_are_internal() -> None:
    assert refusal(ValueError("x")).kind is ErrorKind.INTERNAL


def test_what_follows_a_compressed_body_is_not_read(core: Core) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield gzip.compress(b"{}")
        while True:
            sent += 1
            yield b"x" * 1024

    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    response = ask(
        build_app(core), "POST", "/v1/models/gauss/score", content=body(), headers=headers
    )
    assert response.status_code == 400
    assert "goes on after its end" in response.json()["error"]
    assert sent < 5
