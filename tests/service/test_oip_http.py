"""Refusals of the Open Inference Protocol over HTTP that no request alone can bring about."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.http.app import build_app
from tests.bundles import ordinary_rows
from tests.service.test_http import ask

INFER = "/v2/models/gauss/infer"
# As the protocol's servers answer; the native API has 400 for what is not supported.
STATUS = {
    "invalid_input": 400,
    "not_found": 404,
    "unsupported": 501,
    "too_large": 413,
    "unauthorized": 401,
    "rate_limited": 429,
    "overloaded": 503,
    "not_ready": 503,
    "deadline": 504,
    "internal": 500,
}


def body(rows: int = 1) -> dict[str, Any]:
    x = ordinary_rows(rows)
    return {"inputs": [{"name": "x", "shape": [rows, 4], "datatype": "FP64", "data": x.tolist()}]}


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_of_error_has_a_status_of_the_protocol(
    core: Core, monkeypatch: pytest.MonkeyPatch, kind: ErrorKind
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ServiceError(kind, "a reason")

    monkeypatch.setattr(type(core.find("gauss")), "judge", refuse)
    response = ask(build_app(core), "POST", INFER, json=body())
    assert response.status_code == STATUS[kind.value]
    assert response.json()["error"] == "a reason"
    is_to_be_tried_again = kind in (
        ErrorKind.OVERLOADED, ErrorKind.NOT_READY, ErrorKind.RATE_LIMITED
    )  # fmt: skip
    assert ("retry-after" in response.headers) == is_to_be_tried_again


def test_a_full_queue_is_told_with_a_time_to_try_again(core: Core) -> None:
    app = build_app(core)
    core.work._batcher._limits = (1, 2**20)

    async def many() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.gather(*(client.post(INFER, json=body(64)) for _ in range(20)))

    answers = asyncio.run(many())
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert "rows are waiting" in refused[0].json()["error"]


def test_a_failure_inside_says_nothing_of_the_inside(
    core: Core, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(core.find("gauss")), "judge", fail)
    response = ask(build_app(core), "POST", INFER, json=body())
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_a_service_that_stops_is_not_ready(core: Core) -> None:
    app = build_app(core)
    assert ask(app, "GET", "/v2/health/ready").status_code == 200
    asyncio.run(core.drain())
    for path in ("/v2/health/ready", "/v2/models/gauss/ready"):
        response = ask(app, "GET", path)
        assert response.status_code == 503
        assert response.json()["kind"] == "not_ready"
    assert ask(app, "GET", "/v2/health/live").status_code == 200


def test_requests_are_counted_by_what_they_ask(core: Core) -> None:
    app = build_app(core)
    asked = {"score": "p_value", "log_prob": "status", "encode": "z"}
    for method, output in asked.items():
        wish = body() | {"outputs": [{"name": output}]}
        assert ask(app, "POST", INFER, json=wish).status_code == 200
        value = core.metrics.registry.get_sample_value
        labels = {"replica": "0", "model": "gauss", "version": "1", "method": method}
        counted = labels | {"protocol": "oip_http", "code": "200"}
        assert value("logdet_requests_total", counted) == 1
        assert value("logdet_rows_total", labels) == 1


def infer(core: Core, *outputs: str, **parameters: Any) -> httpx.Response:
    more = {"parameters": parameters}
    more |= {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    return ask(build_app(core), "POST", "/v2/models/scored/infer", json=body(3) | more)


def test_the_score_that_decides_is_told_where_it_is_another(core: Core) -> None:
    native = {"rows": ordinary_rows(3).tolist(), "by": "typicality"}
    told = ask(build_app(core), "POST", "/v1/models/scored/score", json=native).json()
    answer = infer(core, by="typicality").json()
    score = {output["name"]: output for output in answer["outputs"]}["score"]
    assert (score["datatype"], score["shape"]) == ("FP64", [3])
    assert score["data"] == pytest.approx(told["score"])
    (alone,) = infer(core, "score", by="typicality").json()["outputs"]
    assert alone["data"] == score["data"]
    for parameters in ({}, {"by": "log_prob"}):
        names = [output["name"] for output in infer(core, **parameters).json()["outputs"]]
        assert "score" not in names
        assert "p_value" in names
        assert infer(core, "score", **parameters).status_code == 400


@pytest.mark.parametrize(
    "parameters",
    [
        {"by": "nonsense"},
        {"explain": "banana"},
        {"nearest": "banana"},
        {"nearest": True, "by": "typicality"},
        {"alpha": 7},
        {"alpha": 0.1, "fdr": 0.1},
    ],
)
@pytest.mark.parametrize("output", ["log_prob", "z", "p_value"])
def test_parameters_are_refused_whichever_outputs_are_wanted(
    core: Core, output: str, parameters: dict[str, Any]
) -> None:
    response = infer(core, output, **parameters)
    assert response.status_code == 400
    assert response.json()["error"].startswith("expected ")
