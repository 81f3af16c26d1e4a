"""An answer where an application gives none."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ErrorKind, ServiceError
from service.http.errors import error_response

_LOST = ServiceError(
    ErrorKind.NOT_READY, "the replica that had the request is gone; send the request again"
)


class AnswerForLost:
    """Answers 503 where an application returns without an answer.

    Ray Serve's proxy does so when a replica dies over a request. Its server would make a 500 of
    it, which clients do not try again.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        is_begun = scope["type"] != "http"

        async def watched(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        await self._app(scope, receive, watched)
        if not is_begun:
            await error_response(_LOST)(scope, receive, send)
