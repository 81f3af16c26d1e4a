"""The door of gRPC: an interceptor, so that a call is refused before its message is read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from service.core import Core
from service.errors import ServiceError
from service.grpc import health, inference
from service.grpc.calls import NOBODYS
from service.grpc.errors import STATUS, refuse
from service.grpc.metadata import authorization

# What probes call; everything else needs a token, also what there is not.
PROBES = frozenset(
    {
        f"/{health.SERVICE}/Check",
        f"/{health.SERVICE}/Watch",
        f"/{inference.SERVICE}/ServerLive",
        f"/{inference.SERVICE}/ServerReady",
    }
)

Details = grpc.HandlerCallDetails
Handler = Any  # of any messages, or None where there is no such method


class Gate(aio.ServerInterceptor):  # type: ignore[type-arg] # the stubs ask for two, grpc has none
    """Lets calls in as the core's door does, and counts those that it refuses.

    Args:
        core: Has the door and the metrics.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler]], call: Details
    ) -> Handler:
        """See :class:`grpc.aio.ServerInterceptor`."""
        started = time.perf_counter()
        if call.method not in PROBES:
            try:
                self._core.door.admit(authorization(call.invocation_metadata))
            except ServiceError as error:
                self._count(error, time.perf_counter() - started)
                return _refusing(error)
        return await continuation(call)

    def _count(self, error: ServiceError, seconds: float) -> None:
        self._core.metrics.rejected(error.kind)
        self._core.metrics.request((*NOBODYS, "grpc"), STATUS[error.kind].name, seconds)


def _refusing(error: ServiceError) -> Handler:
    """A handler that reads nothing: on the wire, a stream is the same as any other call."""

    async def end(_requests: object, context: Any) -> None:  # noqa: ANN401 - of any messages
        refuse(context, error)

    return grpc.stream_stream_rpc_method_handler(end)
