"""Clients that go away before they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Watching for the client costs more than the work on a smaller body, unless that asks for much.
WATCHED_BYTES = 64 * 1024

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled if the client goes away first.

    Args:
        request: Whose body has been read.
        work: Answers it.

    Raises:
        ClientDisconnect: If it did.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    receive: Callable[[], Awaitable[Any]] = request.receive
    while (await receive())["type"] != "http.disconnect":
        pass


class GoneWhere:
    """Tells an application that its client is gone where the rest of a request cannot be had.

    Args:
        app: The application.
        lost: What asking for more raises when whoever passes it on, such as a proxy, has died.
    """

    def __init__(self, app: ASGIApp, lost: type[Exception]) -> None:
        self._app = app
        self._lost = lost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""

        async def received() -> Message:
            try:
                return await receive()
            except self._lost:
                return {"type": "http.disconnect"}

        await self._app(scope, received, send)
