"""Where gRPC is answered: asked for, by default, shared among replicas, never with others."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from service.config import ServiceConfig
from service.errors import StartError
from service.grpc.port import numeric, probe, reserve, settled


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens who would share it."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_a_port_that_was_asked_for_is_taken_or_free(taken: int) -> None:
    free = probe("127.0.0.1", 0)
    assert settled(ServiceConfig(grpc_port=free)).grpc_port == free
    with pytest.raises(StartError, match=f"127.0.0.1:{taken} .*choose another --grpc-port"):
        settled(ServiceConfig(grpc_port=taken))


def test_by_default_it_is_the_next_port_or_none(taken: int) -> None:
    assert settled(ServiceConfig(port=taken - 1)).grpc_port is None
    assert settled(ServiceConfig(port=65535)).grpc_port is None
    free = probe("127.0.0.1", 0)
    assert settled(ServiceConfig(port=free - 1)).grpc_port == free


def test_with_any_port_it_is_any_too() -> None:
    assert settled(ServiceConfig(port=0)).grpc_port not in (None, 0)


def test_it_can_be_turned_off(taken: int) -> None:
    assert settled(ServiceConfig(grpc=False, grpc_port=taken)).grpc_port is None
    assert not ServiceConfig.from_environ({"LOGDET_GRPC": "false"}).grpc
    assert ServiceConfig.from_environ({"LOGDET_GRPC_PORT": "9001"}).grpc_port == 9001


def test_it_is_another_port_than_that_of_http() -> None:
    with pytest.raises(StartError, match="got 8000 for both"):
        settled(ServiceConfig(port=8000, grpc_port=8000))


def test_a_port_is_kept_from_others_while_replicas_share_it() -> None:
    port = probe("127.0.0.1", 0)
    with reserve("127.0.0.1", port):
        with pytest.raises(OSError, match="in use"):
            probe("127.0.0.1", port)
        with socket.socket() as replica:
            replica.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            replica.bind(("127.0.0.1", port))
            replica.listen()
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
    assert probe("127.0.0.1", port) == port


def test_a_name_is_one_address() -> None:
    assert numeric("localhost") == "127.0.0.1"
    assert numeric("::1") == "[::1]"
