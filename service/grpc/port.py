"""Where gRPC is answered. Does not need grpc, so it is known before that is loaded."""

from __future__ import annotations

import socket

from service.config import ServiceConfig
from service.errors import StartError

MAX_PORT = 65535


def settled(config: ServiceConfig) -> ServiceConfig:
    """The settings with the free TCP port to answer gRPC at; None where it is not answered.

    A port that was not asked for is the one after the port of HTTP, or any where that is 0; where
    it is taken, the service does without gRPC.

    Raises:
        StartError: If a port was asked for and is taken.
    """
    if not config.grpc:
        return config.model_copy(update={"grpc_port": None})
    asked = config.grpc_port
    if asked and asked == config.port:
        raise StartError(f"expected --grpc-port to be another than --port, got {asked} for both")
    wanted = asked if asked is not None else (config.port and config.port + 1)
    try:
        return config.model_copy(update={"grpc_port": probe(config.host, wanted)})
    except OSError as error:
        if asked is None:
            return config
        raise StartError(
            f"cannot listen on {config.host}:{asked} ({error.strerror}); "
            "choose another --grpc-port"
        ) from error


def probe(host: str, port: int) -> int:
    """A port that nobody listens on; 0 becomes a free one.

    Raises:
        OSError: If it is taken, even by a listener that would share it.
    """
    if port > MAX_PORT:
        raise OSError(0, f"there is no port {port}")
    with socket.socket(_family(host), socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, port))
        bound: int = one.getsockname()[1]
        return bound


def reserve(host: str, port: int) -> socket.socket:
    """A socket that keeps a free port from others, but not from those who share it.

    It does not listen, so no connection goes to it.

    Raises:
        OSError: If the port is taken.
    """
    held = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held


def numeric(host: str) -> str:
    """The one address that a host means, as for HTTP; grpc would bind all that it has."""
    found = socket.getaddrinfo(host, None, _family(host), socket.SOCK_STREAM)[0][4][0]
    return f"[{found}]" if ":" in str(found) else str(found)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
