"""``grpc.health.v1.Health``: what probes of Kubernetes and load balancers ask."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from service.errors import ErrorKind, ServiceError
from service.grpc.calls import Rpc
from service.grpc.pool import Message, message
from service.oip.inference import Inference

SERVICE = "grpc.health.v1.Health"


@dataclass(frozen=True, slots=True)
class HealthService:
    """The methods of the service.

    Attributes:
        inference: Knows which models are ready.
        stopping: Set when the service stops: nothing is SERVING any more.
        services: Full names of the other services, each of which is ready when all models are.
    """

    inference: Inference
    stopping: asyncio.Event
    services: frozenset[str]

    def rpcs(self) -> Mapping[str, Rpc]:
        """Every method by its name."""
        return {"Check": Rpc(self.check), "Watch": Rpc(self.look)}

    async def check(self, request: Message) -> Message:
        """The status of the service or of a model.

        Raises:
            ServiceError: ``not_found``.
        """
        is_serving = not self.stopping.is_set() and self._is_ready(request.service)
        return _response("SERVING" if is_serving else "NOT_SERVING")

    async def look(self, request: Message) -> Message:
        """The same; a name that is not known is a status, as it may become known."""
        try:
            return await self.check(request)
        except ServiceError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return _response("SERVICE_UNKNOWN")

    def _is_ready(self, name: str) -> bool:
        if not name or name == SERVICE or name in self.services:
            return self.inference.ready()
        return self.inference.is_ready(name, "")


def _response(status: str) -> Message:
    return message("grpc.health.v1.HealthCheckResponse")(status=status)
