"""The header ``x-request-id``: taken from a client only if it is fit for a log line."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class HideRequestId:
    """Hides request ids from an application that would answer with them.

    Args:
        app: The application.
        sane: Whether ids that are fit are hidden as well.
    """

    def __init__(self, app: ASGIApp, *, sane: bool) -> None:
        self._app = app
        self._sane = sane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http":
            kept = [(k, v) for k, v in scope["headers"] if k != HEADER or self._passes(v)]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)

    def _passes(self, value: bytes) -> bool:
        return not self._sane and SANE.fullmatch(value) is not None
