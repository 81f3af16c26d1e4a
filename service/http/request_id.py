"""The header ``x-request-id``: taken from a client only if it is fit for a log line."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.headers import header

HEADER = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# Where the scope of a request has the id that is hidden from who would answer with it.
_HIDDEN = "logdet.request_id"


def sent_id(scope: Scope) -> bytes | None:
    """The id of a request that is to be answered with; None for one unfit for a log line."""
    value = header(scope, HEADER)
    return value if value is not None and SANE.fullmatch(value) else None


def request_id(scope: Scope) -> bytes | None:
    """The id of a request, also where others answer with it."""
    hidden: bytes | None = scope.get(_HIDDEN)
    return hidden or sent_id(scope)


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
            sent = scope["headers"]
            kept = [(k, v) for k, v in sent if k != HEADER or self._passes(v)]
            scope = {**scope, "headers": kept}
            if self._sane:
                fit = (v for k, v in sent if k == HEADER and SANE.fullmatch(v))
                scope[_HIDDEN] = next(fit, None)
        await self._app(scope, receive, send)

    def _passes(self, value: bytes) -> bool:
        return not self._sane and SANE.fullmatch(value) is not None
