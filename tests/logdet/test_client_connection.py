"""What a client does about connections that are refused, silent, cut, or of another protocol."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from logdet.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidInput,
    ServiceFailed,
    ServiceRefused,
    Unavailable,
)

ROWS = [[1.0, 2.0], [3.0, 4.0]]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_listening_is_unavailable(scheme: str) -> None:
    with (
        Client(f"{scheme}://127.0.0.1:{free_port()}", retries=1) as asking,
        pytest.raises(Unavailable),
    ):
        asking.log_prob("m", ROWS)


@pytest.mark.parametrize("is_async", [False, True])
def test_grpc_without_a_limit_ends_where_nobody_listens(is_async: bool) -> None:
    url = f"grpc://127.0.0.1:{free_port()}"

    def ask() -> None:
        with Client(url, timeout=None, retries=0) as asking:
            asking.log_prob("m", ROWS)

    async def await_it() -> None:
        async with AsyncClient(url, timeout=None, retries=0) as asking:
            await asking.log_prob("m", ROWS)

    with pytest.raises(Unavailable):
        asyncio.run(await_it()) if is_async else ask()


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_closed_client_says_that_it_is(scheme: str, is_async: bool) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}"

    def ask() -> None:
        with Client(url, retries=0) as asking:
            pass
        asking.close()
        asking.log_prob("m", ROWS)

    async def await_it() -> None:
        async with AsyncClient(url, retries=0) as asking:
            pass
        await asking.close()
        await asking.log_prob("m", ROWS)

    with pytest.raises(InvalidInput, match=r"^expected a client that is open, got one after its"):
        asyncio.run(await_it()) if is_async else ask()


def message_of(url: str, error: type[ServiceRefused], *, is_async: bool) -> str:
    """What a refusal of an attempt says; there are 9 more where it is thought to be temporary."""

    def wait() -> None:
        with Client(url, retries=9) as asking:
            asking.models()

    async def await_it() -> None:
        async with AsyncClient(url, retries=9) as asking:
            await asking.models()

    with pytest.raises(error) as refused:
        asyncio.run(await_it()) if is_async else wait()
    return str(refused.value)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_address_that_nobody_listens_at_is_named(is_async: bool, pauses: list[float]) -> None:
    address = f"127.0.0.1:{free_port()}"
    told = message_of(f"http://me:secret@{address}/path", Unavailable, is_async=is_async)
    assert told == f"no connection to http://{address}: Connection refused"
    assert len(pauses) == 9


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("scheme", "says", "expected"),
    [
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "expected TLS at {}, but wrong version"),
        (
            "http",
            b"\x00\x00\x12\x04\x00\x00\x00\r\n\r\n",
            "expected a service that speaks HTTP at {}",
        ),
        (
            "http",
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnone",
            "expected a service that speaks HTTP at {}",
        ),
    ],
)
def test_another_protocol_is_told_at_once(
    scheme: str, says: bytes, expected: str, is_async: bool, pauses: list[float]
) -> None:
    with saying(says) as address:
        told = message_of(f"{scheme}://{address}", ServiceFailed, is_async=is_async)
    assert told.startswith(expected.format(f"{scheme}://{address}"))
    assert "_ssl" not in told
    assert pauses == []


def test_what_http_cannot_carry_is_refused_at_once(pauses: list[float]) -> None:
    with (
        saying(b"") as address,
        Client(f"http://{address}", headers={"x-me": "two\nlines"}) as asking,
        pytest.raises(InvalidInput, match="expected what HTTP can carry, but Illegal header"),
    ):
        asking.models()
    assert pauses == []


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("scheme", "says"),
    [
        ("https", b""),
        ("http", b""),
        ("http", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
    ],
)
def test_a_connection_that_ends_early_is_made_again(
    scheme: str, says: bytes, is_async: bool, pauses: list[float]
) -> None:
    with saying(says) as address:
        told = message_of(f"{scheme}://{address}", Unavailable, is_async=is_async)
    assert f"connection to {scheme}://{address}: " in told
    assert len(pauses) == 9


@contextmanager
def saying(words: bytes) -> Iterator[str]:
    """The address of a listener that says the same whatever it is asked, and ends."""

    def answer(server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if connection.recv(65536) == b"stop":
                    return
                connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        try:
            yield f"127.0.0.1:{address[1]}"
        finally:
            with socket.create_connection(address) as last:
                last.sendall(b"stop")
            thread.join()


@pytest.fixture
def silent() -> Iterator[str]:
    """A listener that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize("is_async", [False, True])
def test_silence_ends_at_the_deadline(silent: str, scheme: str, is_async: bool) -> None:
    started = time.monotonic()
    url = f"{scheme}://{silent}"

    def wait() -> None:
        with Client(url, timeout=0.3) as asking:
            asking.log_prob("m", ROWS)

    async def await_it() -> None:
        async with AsyncClient(url, timeout=0.3) as asking:
            await asking.log_prob("m", ROWS)

    expected = (DeadlineExceeded, Unavailable) if scheme == "grpc" else DeadlineExceeded
    with pytest.raises(expected):
        asyncio.run(await_it()) if is_async else wait()
    assert time.monotonic() - started < 2.0


def test_an_answer_that_trickles_in_ends_soon_after_the_deadline() -> None:
    stop = threading.Event()

    def trickle(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            while not stop.wait(0.02):
                connection.sendall(b"{")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server,))
        thread.start()
        started = time.monotonic()
        try:
            with (
                Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.3) as asking,
                pytest.raises(DeadlineExceeded),
            ):
                asking.models()
            assert 0.25 < time.monotonic() - started < 1.0
        finally:
            stop.set()
            thread.join()
