"""``GET /v1/models/{model}/drift``: do callers' rows still look like the calibration rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from service.core import Core
from service.drift.report import report
from service.drift.sketch import State
from service.http.operations import SERVED, json_response, version_of

# The states of all replicas that serve a version of a name.
Everyone = Callable[[str, int], Awaitable[Sequence[State]]]


class Drift:
    """Answers for all replicas, whichever is asked.

    Args:
        core: Of this replica.
        everyone: Asks all replicas; this one alone if None.
    """

    def __init__(self, core: Core, everyone: Everyone | None) -> None:
        self._core = core
        self._everyone = everyone or self._own

    async def __call__(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            ServiceError: ``not_found``, or ``unsupported`` where the service does not look.
        """
        path = request.path_params
        served = self._core.find(path["model"], version_of(path))
        request.scope[SERVED] = served
        sketch = self._core.sketch(served)
        version = served.model.manifest.version
        states = await self._everyone(served.name, version)
        calibration = served.model.manifest.calibration.artifact.sha256
        told = await asyncio.to_thread(report, sketch, states)
        named = {"model": served.name, "version": version, "calibration": calibration}
        return json_response(named | told)

    async def _own(self, name: str, version: int) -> Sequence[State]:
        state = await self._core.drift(name, version)
        return [] if state is None else [state]
