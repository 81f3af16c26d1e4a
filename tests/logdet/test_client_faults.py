"""What a client does about services that are slow, busy, gone, or none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from logdet.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    NotReady,
    Overloaded,
    RateLimited,
    ServiceFailed,
    ServiceRefused,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from logdet.client.http import ARROW, FACTS_HEADER, TIMEOUT_HEADER

URL = "http://service"
ROWS = [[1.0, 2.0], [3.0, 4.0]]
Handler = Callable[[httpx.Request], httpx.Response]


def manifest(version: int = 1, features: str = "ab", context: str = "") -> dict[str, Any]:
    return {
        "version": version,
        "features": [{"name": name} for name in features],
        "context_features": [{"name": name} for name in context],
        "latent_features": len(features),
    }


def table(request: httpx.Request) -> pa.Table:
    return pa.ipc.open_stream(request.content).read_all()


def answered(columns: dict[str, Any], version: int | None = 1) -> httpx.Response:
    sink = pa.BufferOutputStream()
    made = pa.table(columns)
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    headers = {
        "content-type": ARROW,
        FACTS_HEADER: json.dumps({"model": "m"} | ({"version": version} if version else {})),
    }
    return httpx.Response(200, headers=headers, content=sink.getvalue().to_pybytes())


def refusing(status: int, kind: str = "", **headers: str) -> httpx.Response:
    content = {"error": f"it is {kind}", "kind": kind}
    return httpx.Response(status, headers=headers, json=content)


class Service:
    """Gives the responses it was told to, then sums each row; notes what it was asked."""

    def __init__(self, *failures: httpx.Response | Exception) -> None:
        self.failures = list(failures)
        self.asked: list[httpx.Request] = []
        self.manifest = manifest()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.method == "GET":
            return httpx.Response(200, json=self.manifest)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        columns = table(request)
        features = [feature["name"] for feature in self.manifest["features"]]
        if sorted(columns.column_names) != sorted(features):
            return refusing(400, "invalid_input")
        place = np.array([10**i for i in reversed(range(len(features)))])
        x = np.column_stack([columns[name].to_numpy() for name in features])
        return answered({"log_prob": x @ place}, self.manifest["version"])

    @property
    def posted(self) -> list[httpx.Request]:
        return [request for request in self.asked if request.method == "POST"]


def client(service: Handler, **settings: Any) -> Client:
    return Client(URL, transport=httpx.MockTransport(service), **settings)


TEMPORARY = {
    "busy": lambda: refusing(503, "overloaded", **{"retry-after": "1"}),
    "limited": lambda: refusing(429, "rate_limited", **{"retry-after": "1"}),
    "a proxy without a service": lambda: httpx.Response(
        503, text="upstream", headers={"retry-after": "1"}
    ),
}


@pytest.mark.parametrize("failure", TEMPORARY)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_busy_service_is_asked_again(failure: str, is_async: bool, pauses: list[float]) -> None:
    service = Service(*(TEMPORARY[failure]() for _ in range(3)))
    if is_async:

        async def work() -> Any:
            async with AsyncClient(URL, transport=httpx.MockTransport(service)) as asking:
                return await asking.log_prob("m", ROWS)

        answer = asyncio.run(work())
    else:
        answer = client(service).log_prob("m", ROWS)
    assert answer.log_prob.tolist() == [12.0, 34.0]
    assert len(service.posted) == 4
    assert len(pauses) == 3
    assert all(pause >= 1.0 for pause in pauses)


@pytest.mark.parametrize(
    "lost",
    [httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.RemoteProtocolError("half")],
)
def test_a_lost_connection_is_made_again(lost: Exception, pauses: list[float]) -> None:
    service = Service(lost)
    assert client(service).log_prob("m", ROWS).log_prob.tolist() == [12.0, 34.0]
    assert len(pauses) == 1
    service = Service(*[lost] * 3)
    said = rf"^(no|lost the) connection to http://service: {lost}$"
    with pytest.raises(Unavailable, match=said):
        client(service, retries=2).log_prob("m", ROWS)
    assert len(service.posted) == 3


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_input", InvalidInput),
        (400, "unsupported", Unsupported),
        (401, "unauthorized", Unauthorized),
        (404, "not_found", NotFound),
        (413, "too_large", TooLarge),
        (500, "internal", ServiceFailed),
        (504, "deadline", DeadlineExceeded),
        (429, "rate_limited", RateLimited),
        (503, "overloaded", Overloaded),
        (503, "not_ready", NotReady),
    ],
)
def test_a_refusal_is_raised_in_the_services_words(
    status: int, kind: str, expected: type[ServiceRefused]
) -> None:
    service = Service(refusing(status, kind))
    with pytest.raises(expected, match=f"^it is {kind}$"):
        client(service, retries=0).log_prob("m", ROWS)
    assert len(service.posted) == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, ServiceFailed),
        (403, Unauthorized),
        (404, NotFound),
        (408, DeadlineExceeded),
        (413, TooLarge),
        (418, ServiceFailed),
        (429, RateLimited),
        (500, ServiceFailed),
        (502, Unavailable),
        (503, NotReady),
        (504, DeadlineExceeded),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>\nno</html>", b"[1]", b'{"detail": 1}', b"\xff"])
def test_the_status_of_something_else_than_the_service_is_told(
    status: int, expected: type[ServiceRefused], body: bytes
) -> None:
    service = Service(httpx.Response(status, content=body))
    with pytest.raises(expected, match=f"^got status {status} from service"):
        client(service, retries=0).log_prob("m", ROWS)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="hello"),
        httpx.Response(200, headers={"content-type": ARROW}, content=b"no stream"),
        httpx.Response(200, headers={"content-type": ARROW, FACTS_HEADER: "{}"}, content=b""),
        httpx.Response(200, json={"log_prob": []}),
        answered({"log_prob": []}, version=None),
    ],
)
def test_an_answer_that_is_not_the_services_is_refused(response: httpx.Response) -> None:
    with pytest.raises(ServiceFailed, match=r"^expected an"):
        client(Service(response)).log_prob("m", ROWS)


def test_the_service_is_told_what_is_left_of_the_time(pauses: list[float]) -> None:
    service = Service(refusing(503, "overloaded", **{"retry-after": "2"}))
    client(service, timeout=10.0).log_prob("m", ROWS)
    client(service).log_prob("m", ROWS, timeout=3.0)
    told = [float(request.headers[TIMEOUT_HEADER]) for request in service.asked]
    # The manifest, the refused attempt, the one after the pause; the second call knows the first.
    assert told[:2] == pytest.approx([10.0, 10.0], abs=0.5)
    assert told[2] <= 8.0
    assert told[-1] == pytest.approx(3.0, abs=0.5)


def test_a_timeout_on_the_way_is_the_deadline() -> None:
    service = Service(httpx.ReadTimeout("slow"))
    with pytest.raises(DeadlineExceeded, match=r"no answer from http://service within .* s"):
        client(service).log_prob("m", ROWS)
    assert len(service.posted) == 1
    assert issubclass(DeadlineExceeded, TimeoutError)


def test_headers_go_with_every_request() -> None:
    service = Service()
    client(service, headers={"authorization": "Bearer 1"}).log_prob("m", ROWS)
    assert {request.headers["authorization"] for request in service.asked} == {"Bearer 1"}


def test_the_manifest_is_asked_for_once() -> None:
    service, names = Service(), []
    asking = client(service)
    for _ in range(3):
        asking.log_prob("m", ROWS)
    names = [request.url.path for request in service.asked]
    assert (
        names
        == ["/v1/models/m", "/v1/models/m/versions/1/log_prob"] + ["/v1/models/m/log_prob"] * 2
    )


@pytest.mark.parametrize(("features", "expected"), [("ba", [12.0, 34.0]), ("ab", [12.0, 34.0])])
def test_a_newer_version_is_asked_in_the_order_of_its_own_columns(
    features: str, expected: list[float]
) -> None:
    service = Service()
    asking = client(service)
    asking.log_prob("m", ROWS)
    service.manifest = manifest(2, features)
    before = len(service.posted)
    answer = asking.log_prob("m", ROWS)
    assert answer.version == 2
    assert answer.log_prob.tolist() == expected
    assert len(service.posted) - before == (2 if features == "ba" else 1)
    asking.log_prob("m", ROWS)
    assert service.asked[-1].url.path == "/v1/models/m/log_prob"


def test_a_newer_version_with_other_columns_is_noticed_where_the_old_ones_are_refused() -> None:
    service = Service()
    asking = client(service)
    asking.log_prob("m", ROWS)
    service.manifest = manifest(2, "abc")
    assert asking.log_prob("m", [[1, 2, 3]]).log_prob.tolist() == [123.0]
    service.manifest = manifest(3, "xyz")
    assert asking.log_prob("m", [[1, 2, 3]]).log_prob.tolist() == [123.0]
    with pytest.raises(InvalidInput, match=r"expected 3 columns in rows \(x, y, z\), got 2"):
        asking.log_prob("m", ROWS)


@pytest.mark.parametrize("chunk_rows", [1, 3, 4, 10, 11])
def test_many_rows_go_in_pieces_of_one_version(chunk_rows: int) -> None:
    service = Service()
    x = np.arange(20.0).reshape(10, 2)
    asking = client(service, chunk_rows=chunk_rows)
    for _ in range(2):
        before = len(service.posted)
        assert asking.log_prob("m", x).log_prob.tolist() == (x @ [10, 1]).tolist()
        posted = service.posted[before:]
        assert [table(request).num_rows for request in posted] == [
            min(chunk_rows, 10 - start) for start in range(0, 10, chunk_rows)
        ]
        assert {request.url.path for request in posted[1:]} <= {"/v1/models/m/versions/1/log_prob"}


def test_pieces_are_no_larger_than_services_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logdet.client.calls.PIECE_BYTES", 48)
    service = Service()
    client(service).log_prob("m", np.zeros((10, 2)))
    assert [table(request).num_rows for request in service.posted] == [3, 3, 3, 1]


def test_a_client_may_set_no_limit() -> None:
    service = Service()
    asking = client(service, timeout=None)
    asking.log_prob("m", ROWS)
    assert {request.headers.get(TIMEOUT_HEADER) for request in service.asked} == {None}
    allowed = [set(request.extensions["timeout"].values()) for request in service.asked]
    assert allowed == [{None}] * 2
    asking.log_prob("m", ROWS, timeout=3.0)
    assert float(service.asked[-1].headers[TIMEOUT_HEADER]) <= 3.0


def test_an_async_client_may_set_no_limit() -> None:
    service = Service()

    async def work() -> Any:
        async with AsyncClient(
            URL, timeout=None, transport=httpx.MockTransport(service)
        ) as asking:
            return await asking.log_prob("m", ROWS)

    assert asyncio.run(work()).log_prob.tolist() == [12.0, 34.0]
    assert {request.headers.get(TIMEOUT_HEADER) for request in service.asked} == {None}


@pytest.mark.parametrize("settings", [{"chunk_rows": 0}, {"retries": -1}, {"timeout": 0.0}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"expected (a )?{next(iter(settings))}"):
        Client(URL, **settings)


@pytest.mark.parametrize("document", [[], {}, {"version": 1, "features": [1]}, {"models": 1}])
def test_a_document_that_is_not_the_services_is_refused(document: object) -> None:
    def other(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=document)

    asking = client(other)
    with pytest.raises(ServiceFailed, match=r"^expected a .* of a logdet service"):
        asking.log_prob("m", ROWS)
    with pytest.raises(ServiceFailed, match=r"^expected a .* of a logdet service"):
        asking.models()


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://h", "http://", "localhost", "grpc:/h", "grpc://h", "http://h:x", ""],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="expected a URL such as http"):
        Client(url)


def test_a_refused_frame_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"frame to be one of numpy, pandas, .*, got 'dask'"):
        client(Service()).sample("m", 3, frame="dask")  # type: ignore[arg-type]
