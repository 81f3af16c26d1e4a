"""Bounds of what arrives: heads, slow requests, and bodies that grow when decompressed."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pyarrow as pa
import pytest

from service.http.protocol import MAX_HEAD_BYTES, MAX_HEADERS
from tests.bundles import NAMES
from tests.engines import Running, embedded
from tests.rpc import DENSITY, INFERENCE
from tests.service.test_http import GOOD

LIMIT_BYTES = 2**20
TIMEOUT_S = 2.0
BOMB_BYTES = 512 * 2**20
# What a bomb may cost beyond the limit: buffers, and what the allocator keeps.
SLACK_BYTES = 48 * 2**20


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[Running]:
    settings = {
        "LOGDET_LIMIT_BODY_BYTES": str(LIMIT_BYTES),
        "LOGDET_REQUEST_TIMEOUT_S": str(TIMEOUT_S),
    }
    with embedded(root, settings) as running:
        yield running


def connected(running: Running) -> socket.socket:
    host, port = running.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the service closes; a reset says that it did before it had read all."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def told(running: Running, *pieces: bytes, pause_s: float = 0.0) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to raw bytes; status 0 for none."""
    with connected(running) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is closed already
        head, _, body = answer(connection).partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head else 0
    return status, json.loads(body) if body.startswith(b"{") else {}


def peak_bytes(running: Running) -> int:
    """Most memory that the service has had."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
CLOSE = b"connection: close\r\n\r\n"
HEADS = {
    "a header of 1 MB": [GET + b"x-long: " + b"a" * 10**6 + b"\r\n" + CLOSE],
    "a header of 1 MB in pieces": [GET + b"x-long: ", *[b"a" * 10**4] * 100, b"\r\n", CLOSE],
    "a name of 1 MB": [GET + b"a" * 10**6 + b": x\r\n" + CLOSE],
    "10,000 headers": [GET + b"".join(b"x-%d: 1\r\n" % i for i in range(10**4)) + CLOSE],
    "one header too many": [GET + b"x: 1\r\n" * (MAX_HEADERS - 1) + CLOSE],
    "a request line of 1 MB": [b"GET /" + b"a" * 10**6 + b" HTTP/1.1\r\nhost: x\r\n" + CLOSE],
    "a method of 1 MB": [b"G" * 10**6],
}


@pytest.mark.parametrize("pieces", HEADS.values(), ids=HEADS)
def test_a_head_that_is_too_large_is_refused(running: Running, pieces: list[bytes]) -> None:
    status, _ = told(running, *pieces)
    assert status in (400, 431, 0)
    assert httpx.get(f"{running.url}/healthz").status_code == 200


def test_the_refusal_of_a_head_says_what_is_allowed(running: Running) -> None:
    status, body = told(running, GET + b"x: 1\r\n" * MAX_HEADERS + CLOSE)
    assert status == 431
    assert body["kind"] == "too_large"
    assert str(MAX_HEADERS) in body["error"]
    assert str(MAX_HEAD_BYTES) in body["error"]


def test_a_head_that_is_just_small_enough_is_answered(running: Running) -> None:
    most = b"x: 1\r\n" * (MAX_HEADERS - 2)
    assert told(running, GET + most + CLOSE)[0] == 200
    long = b"x: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\n"
    assert told(running, GET + long + CLOSE)[0] == 200


def test_trailers_without_end_are_refused(running: Running) -> None:
    head = b"POST /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: "
    before = peak_bytes(running)

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(20_000):
            connection.sendall(b"a" * 10**4)

    with connected(running) as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
        send(connection)
    assert peak_bytes(running) < before + SLACK_BYTES


SLOW = {
    "nothing": [b""],
    "a head": [b"GET /hea", b"lthz HTTP/1.1\r\n", *[b"x: 1\r\n"] * 8],
    "a body": [
        b"POST /v1/models/gauss/score HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n",
        *[b" "] * 8,
    ],
    "chunks": [
        b"POST /v1/models/gauss/score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        *[b"1\r\n \r\n"] * 8,
    ],
}


@pytest.mark.parametrize("pieces", SLOW.values(), ids=SLOW)
def test_a_request_that_dribbles_is_given_up(running: Running, pieces: list[bytes]) -> None:
    started = time.monotonic()
    status, body = told(running, *pieces, pause_s=TIMEOUT_S / 6)
    assert time.monotonic() - started < 2.5 * TIMEOUT_S
    assert status == 408
    assert body["kind"] == "deadline"


def test_a_slow_request_within_the_time_is_answered(running: Running) -> None:
    body = json.dumps(GOOD).encode()
    head = (
        b"POST /v1/models/gauss/score HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    pieces = [head[:20], head[20:], body[:5], body[5:]]
    assert told(running, *pieces, pause_s=TIMEOUT_S / 8)[0] == 200


def test_an_open_connection_may_wait_between_requests(running: Running) -> None:
    with httpx.Client(base_url=running.url) as client:
        for _ in range(2):
            assert client.get("/healthz").status_code == 200
            time.sleep(TIMEOUT_S * 1.2)
        assert client.get("/healthz").status_code == 200


def bomb(make: Any, head: bytes = b"") -> bytes:
    """Half a gigabyte of blanks behind a head, compressed."""
    packer = make()
    block = b" " * 2**20
    pieces = [packer.compress(head)] + [packer.compress(block) for _ in range(BOMB_BYTES // 2**20)]
    return b"".join([*pieces, packer.flush()])


def gzipped() -> Any:
    return zlib.compressobj(9, wbits=31)


def deflated() -> Any:
    return zlib.compressobj(9)


ARROW = "application/vnd.apache.arrow.stream"
SCORE, INFER = "/v1/models/gauss/score", "/v2/models/gauss/infer"
BOMBS = {
    "json, gzip": (SCORE, "gzip", {"content-type": "application/json"}),
    "json, deflate": (SCORE, "deflate", {"content-type": "application/json"}),
    "csv, gzip": (SCORE, "gzip", {"content-type": "text/csv"}),
    "arrow, gzip": (SCORE, "gzip", {"content-type": ARROW}),
    "expectation, gzip": ("/v1/models/gauss/expectation", "gzip", {}),
    "infer, gzip": (INFER, "gzip", {}),
    "infer, binary, gzip": (INFER, "gzip", {"inference-header-content-length": "100"}),
    "infer, raw, deflate": (INFER, "deflate", {"inference-header-content-length": "0"}),
    "repository, gzip": ("/v2/repository/index", "gzip", {}),
}


@pytest.mark.parametrize(("path", "encoding", "headers"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_is_inflated(
    running: Running, path: str, encoding: str, headers: dict[str, str]
) -> None:
    body = bomb(gzipped if encoding == "gzip" else deflated)
    assert len(body) < LIMIT_BYTES
    before = peak_bytes(running)
    answer = httpx.post(
        running.url + path,
        content=body,
        headers=headers | {"content-encoding": encoding},
        timeout=30,
    )
    assert answer.status_code == 413, answer.text
    assert answer.json()["kind"] == "too_large"
    assert peak_bytes(running) < before + SLACK_BYTES


def test_a_bomb_in_a_bomb_is_inflated_once(running: Running) -> None:
    body = gzip.compress(bomb(gzipped))
    answer = httpx.post(running.url + SCORE, content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 400
    twice = {"content-encoding": "gzip, gzip"}
    assert httpx.post(running.url + SCORE, content=body, headers=twice).status_code == 415


def test_buffers_that_are_compressed_inside_of_arrow_are_refused(running: Running) -> None:
    zeros = pa.table({name: np.zeros(10**6) for name in NAMES})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, zeros.schema, options=options) as stream:
        stream.write_table(zeros)
    before = peak_bytes(running)
    content, headers = sink.getvalue().to_pybytes(), {"content-type": ARROW}
    answer = httpx.post(running.url + SCORE, content=content, headers=headers)
    assert answer.status_code == 400
    assert "compress" in answer.json()["error"]
    assert peak_bytes(running) < before + SLACK_BYTES


@pytest.mark.parametrize("method", [f"{DENSITY}/LogProb", f"{INFERENCE}/ModelInfer"])
def test_a_bomb_by_grpc_is_refused_before_it_is_inflated(running: Running, method: str) -> None:
    address = running.banner.split("gRPC on ")[1].split()[0]
    options = [("grpc.max_send_message_length", -1)]
    before = peak_bytes(running)
    with (
        grpc.insecure_channel(address, options=options) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(f"/{method}")(
            bytes(BOMB_BYTES), timeout=60, compression=grpc.Compression.Gzip
        )
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    assert peak_bytes(running) < before + SLACK_BYTES


def test_metadata_that_is_too_large_is_refused_by_grpc(running: Running) -> None:
    address = running.banner.split("gRPC on ")[1].split()[0]
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(f"/{INFERENCE}/ServerLive")(
            b"", timeout=10, metadata=(("x-long", "a" * 10**6),)
        )
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
