"""An ASGI application that can be asked to finish what it has begun."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ErrorKind, ServiceError
from service.http.errors import error_response

_POLL_S = 0.01
_STOPPING = ServiceError(
    ErrorKind.NOT_READY, "the service is stopping; send the request to another one, or again"
)


class Drainable:
    """Passes requests on, counts those not yet answered, and can stop taking new ones.

    For a replica behind a proxy, which cannot close the port that clients connect to.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._unanswered = 0
        self._stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._stopping:
            await error_response(_STOPPING)(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def drain(self, open_s: float, timeout_s: float) -> bool:
        """Take requests a little longer, then no more, and wait for the rest.

        Args:
            open_s: Seconds in which requests that the proxy already has may still arrive.
            timeout_s: Most seconds to wait for answers after that.

        Returns:
            Whether every request was answered.
        """
        await asyncio.sleep(open_s)
        self._stopping = True
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._unanswered and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_S)
        return not self._unanswered

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._unanswered += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._unanswered -= 1
