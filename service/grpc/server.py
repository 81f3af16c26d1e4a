"""The gRPC server of one process; several that share a port are one service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from grpc import GenericRpcHandler, aio, ssl_server_credentials

from service.config import ServiceConfig
from service.core import Core
from service.errors import StartError
from service.grpc import density, health, inference
from service.grpc.calls import Calls
from service.grpc.density import DensityService
from service.grpc.gate import Gate
from service.grpc.health import HealthService
from service.grpc.inference import InferenceService
from service.grpc.port import numeric
from service.oip.inference import Inference
from service.oip.repository import Change, Repository

# A message that is not much too large is read, so that it is refused in the service's own words.
SLACK_BYTES = 2**20
# grpc cuts off, without a word, what has arrived when it is told to stop and no handler has seen:
# so long everything is answered, and as long again refused, so that clients have turned away.
OPEN_S = 0.1

MetricsPage = Callable[[], Awaitable[str]]


class GrpcServer:
    """Answers over gRPC on the running event loop.

    Args:
        core: Does the work; started before the first call.
        page: Gives the metrics that statistics are made of; this process's own if None.
        everywhere: Loads or unloads a model in all processes; in this one alone if None.
    """

    def __init__(
        self, core: Core, page: MetricsPage | None = None, everywhere: Change | None = None
    ) -> None:
        self._core = core
        self._page = page or self._own_page
        self._repository = Repository(core, everywhere)
        self._stopping = asyncio.Event()
        self._closed = asyncio.Event()
        self._server: aio.Server | None = None
        self._ended: asyncio.Future[None] | None = None

    async def start(self, port: int, *, shared: bool = False) -> int:
        """Listen on the host of the settings.

        Args:
            port: TCP port; 0 takes a free one.
            shared: Whether other processes of the same service listen there too; the kernel then
                gives each connection to one of them.

        Returns:
            The port.

        Raises:
            StartError: If the port is taken.
        """
        config = self._core.config
        gates = [Gate(self._core)] if self._core.door.is_guarded else []
        server = aio.server(
            handlers=self._handlers(), interceptors=gates, options=_options(config, shared)
        )
        try:
            bound = _bind(server, config, f"{numeric(config.host)}:{port}")
        except RuntimeError as error:
            raise StartError(
                f"cannot listen on {config.host}:{port}; choose another --grpc-port"
            ) from error
        await server.start()
        self._server = server
        return bound

    def begin_stop(self, grace_s: float | None) -> None:
        """End idle streams, answer what has arrived, and then take no more calls.

        Args:
            grace_s: Seconds that calls in flight may take; None cuts them off.
        """
        if self._server is not None:
            self._stopping.set()
            self._ended = asyncio.ensure_future(self._end(self._server, grace_s))

    async def stop(self, grace_s: float) -> None:
        """See :meth:`begin_stop`; returns when every call has ended."""
        if self._ended is None:
            self.begin_stop(grace_s)
        if self._ended is not None:
            await self._ended

    async def _end(self, server: aio.Server, grace_s: float | None) -> None:
        if grace_s is not None:
            await asyncio.sleep(OPEN_S)
            self._closed.set()
            await asyncio.sleep(OPEN_S)
        await server.stop(grace_s)

    def _handlers(self) -> tuple[GenericRpcHandler[bytes, bytes], ...]:
        core, answers = self._core, Inference(self._core)
        limit_rows = core.config.limit_rows
        named = frozenset({inference.SERVICE, density.SERVICE})
        services = {
            inference.SERVICE: InferenceService(
                answers, self._repository, self._page, limit_rows
            ).rpcs(),
            density.SERVICE: DensityService(core).rpcs(),
            health.SERVICE: HealthService(answers, self._stopping, named).rpcs(),
        }
        calls = self._calls()
        return tuple(calls.handlers(name, rpcs) for name, rpcs in services.items())

    def _calls(self) -> Calls:
        core = self._core
        if core.tracing is None:
            return Calls(core, self._stopping, self._closed)
        from service.grpc.traced import TracedCalls  # loads OpenTelemetry

        return TracedCalls(core, self._stopping, self._closed, core.tracing)

    async def _own_page(self) -> str:
        return self._core.metrics.snapshot()


def _bind(server: aio.Server, config: ServiceConfig, address: str) -> int:
    if config.tls_cert is None or config.tls_key is None:
        return server.add_insecure_port(address)
    pair = config.tls_key.read_bytes(), config.tls_cert.read_bytes()
    return server.add_secure_port(address, ssl_server_credentials([pair]))


def _options(config: ServiceConfig, shared: bool) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_receive_message_length", config.limit_body_bytes + SLACK_BYTES),
    )
