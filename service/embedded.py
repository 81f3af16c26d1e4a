"""The embedded engine: one process, one event loop, loopback unless told otherwise."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from service import collector
from service.banner import announce
from service.config import ServiceConfig
from service.core import Core
from service.errors import StartError
from service.grpc.port import settled
from service.http.app import build_app
from service.http.protocol import BoundedProtocol
from service.tls import speaks_tls

if TYPE_CHECKING:
    from service.grpc.server import GrpcServer
    from service.http.app import App
    from service.http.traced import Traced

BACKLOG = 2048


def serve(config: ServiceConfig) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished before this returns.

    Raises:
        StartError: If the address is taken, there is nothing to serve, or the settings do not say
            who may ask.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    with _listen(config.host, config.port) as listener:
        bound = settled(config).model_copy(update={"port": listener.getsockname()[1]})
        # asyncio's own loop would delay small answers by Nagle's algorithm.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(bound, listener))


async def _serve(config: ServiceConfig, listener: socket.socket) -> None:
    core = Core(config)
    speaks_tls(config)  # refuses a certificate that does not fit before anything is loaded
    await core.start()
    rpc = await _answer_grpc(core)
    collector.settle()
    server = _Server(_settings(config, build_app(core)), rpc)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    announce(config, [model.manifest for model in core.catalogue.all()])
    following = core.follow()
    await server.serve(sockets=[listener])
    following.cancel()
    if rpc is not None:
        await rpc.stop(config.drain_timeout_s)
    await core.drain()


async def _answer_grpc(core: Core) -> GrpcServer | None:
    port = core.config.grpc_port
    if port is None:
        return None
    from service.grpc.server import GrpcServer  # loaded only where it is used: a tenth of a second

    server = GrpcServer(core)
    await server.start(port)
    return server


def _settings(config: ServiceConfig, app: App | Traced) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol.within(config.request_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=int(config.drain_timeout_s) + 1,
        ssl_certfile=config.tls_cert,
        ssl_keyfile=config.tls_key,
    )


class _Server(uvicorn.Server):
    """uvicorn that leaves signals alone: it would raise SIGTERM again after a graceful stop."""

    def __init__(self, settings: uvicorn.Config, rpc: GrpcServer | None) -> None:
        super().__init__(settings)
        self._rpc = rpc

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def stop(self) -> None:
        """Finish what is in flight; at the second time, cut it off."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._rpc is not None:
            grace_s = None if self.force_exit else self.config.timeout_graceful_shutdown
            self._rpc.begin_stop(grace_s)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}); choose another "
            f"{'--port' if error.errno in (errno.EADDRINUSE, errno.EACCES) else '--host'}"
        ) from error
