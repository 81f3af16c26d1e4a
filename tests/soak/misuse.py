"""What clients do that they should not: bad requests, and going away in the middle."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import grpc

from tests.bundles import ordinary_rows
from tests.rpc import DENSITY, plain
from tests.soak.ways import Doors

LOG_PROB = "/v1/models/gauss/log_prob"
JSON = {"content-type": "application/json"}
# Path, headers, body and the status that it deserves.
REFUSED: tuple[tuple[str, Mapping[str, str], bytes, int], ...] = (
    (LOG_PROB, JSON, b'{"rows": [[1, 2]]}', 400),
    (LOG_PROB, JSON, b'{"rows": [[1, 2', 400),
    (LOG_PROB, JSON, b"", 400),
    (LOG_PROB, JSON, b'{"rows": ' + b"[" * 50_000, 400),
    (LOG_PROB, {"content-type": "text/csv"}, b"pressure,flow\n1,x\n", 400),
    (LOG_PROB, {"content-type": "application/vnd.apache.arrow.stream"}, b"no stream" * 99, 400),
    (LOG_PROB, {**JSON, "content-encoding": "gzip"}, b"no gzip", 400),
    (LOG_PROB, {"content-type": "application/pdf"}, b"%PDF", 415),
    ("/v1/models/broken/log_prob", JSON, b'{"rows": [[1, 2, 3, 4]]}', 404),
    ("/v1/models/nobody/log_prob", JSON, b'{"rows": [[1, 2, 3, 4]]}', 404),
    ("/v1/models/scorer/sample", JSON, b'{"n": 1}', 400),
    ("/v1/models/gauss/sample", JSON, b'{"n": 1000000000}', 413),
    ("/v2/models/gauss/infer", JSON, b'{"inputs": []}', 400),
    ("/v2/models/nobody/infer", JSON, b'{"inputs": []}', 404),
)
MANY = json.dumps({"rows": ordinary_rows(5000).tolist()}).encode()


def refused(draw: random.Random, doors: Doors) -> str | None:
    """Send a bad request; what is wrong with its answer, if anything."""
    path, headers, body, status = draw.choice(REFUSED)
    answer = doors.http.post(path, headers=headers, content=body)
    if answer.status_code == status and "error" in answer.json():
        return None
    return f"{path}: {answer.status_code} is not {status}: {answer.text[:200]}"


def _half_a_body(doors: Doors) -> None:
    with _connected(doors) as connection:
        connection.sendall(_head(len(MANY)) + MANY[: len(MANY) // 2])


def _no_reader(doors: Doors) -> None:
    with _connected(doors) as connection:
        connection.sendall(_head(len(MANY)) + MANY)


def _some_lines(doors: Doors) -> None:
    headers = {"accept": "application/x-ndjson", **JSON}
    with doors.http.stream("POST", LOG_PROB, content=MANY, headers=headers) as answer:
        next(answer.iter_lines())


def _cancelled_call(doors: Doors) -> None:
    request = plain("logdet.v1.SampleRequest")(model="gauss", n=50_000).SerializeToString()
    method = doors.channel.unary_unary(f"/{DENSITY}/Sample")
    call = method.future(request)
    call.cancel()


def _late_call(doors: Doors) -> None:
    request = plain("logdet.v1.SampleRequest")(model="gauss", n=50_000).SerializeToString()
    method = doors.channel.unary_unary(f"/{DENSITY}/Sample")
    with suppress(grpc.RpcError):
        method(request, timeout=0.001)


GOING: tuple[Callable[[Doors], None], ...] = (
    _half_a_body,
    _no_reader,
    _some_lines,
    _cancelled_call,
    _late_call,
)


def gone(draw: random.Random, doors: Doors) -> None:
    """Ask, and do not wait for the answer."""
    draw.choice(GOING)(doors)


def _connected(doors: Doors) -> socket.socket:
    address = urlsplit(str(doors.http.base_url))
    return socket.create_connection((address.hostname, address.port), timeout=10)


def _head(length: int) -> bytes:
    return (
        f"POST {LOG_PROB} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()
