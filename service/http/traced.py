"""A span around each request that asks a model something."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ErrorKind
from service.http.counted import counted
from service.http.headers import header
from service.http.operations import REFUSED
from service.http.request_id import request_id
from service.tracing.spans import HEADERS, Trace, Tracing

_SERVER_ERRORS = 500


class Traced:
    """Traces the requests to an application that are sent by POST; others only look.

    Args:
        app: The application.
        tracing: Makes the spans.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        with self._tracing.request(_carrier(scope)) as trace:
            if trace is None:
                await self._app(scope, receive, send)
                return
            answer = _Code(send)
            try:
                await self._app(scope, receive, answer)
            finally:
                _tell(trace, scope, answer.code)


class _Code:
    """Passes an answer on, and knows its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.code = 499  # the client went away

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
        await self._send(message)


def _carrier(scope: Scope) -> dict[str, str]:
    found = {name: header(scope, name.encode()) for name in HEADERS}
    return {name: value.decode("latin-1") for name, value in found.items() if value is not None}


def _tell(trace: Trace, scope: Scope, code: int) -> None:
    model, version, method, protocol = counted(scope)
    told: dict[str, str | int] = {
        "http.request.method": "POST",
        "http.response.status_code": code,
        "logdet.protocol": protocol,
    }
    sent = request_id(scope)
    named = {"logdet.model": model, "logdet.version": version}
    named["logdet.request_id"] = "" if sent is None else sent.decode()
    trace.tell(method, told | {name: value for name, value in named.items() if value})
    refused: ErrorKind | None = scope.get(REFUSED)
    if refused is not None:
        trace.fail(refused.value, ours=code >= _SERVER_ERRORS)
