"""The ASGI application: routes, the one place that counts requests, the one broad ``except``."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from service.core import Core
from service.http import docs
from service.http.catalogue import Pages
from service.http.errors import error_response, refusal
from service.http.kinds import OPERATIONS
from service.http.openapi import document
from service.http.operations import SERVED, Operations, json_response
from service.http.request_id import HEADER, SANE
from service.metrics import CONTENT_TYPE, own_version

MetricsPage = Callable[[], Awaitable[str]]


class App:
    """A bare ASGI application over a core.

    Args:
        core: Does the work; started before the first request.
        metrics: Gives the page ``/metrics``; this replica's own if None.
    """

    def __init__(self, core: Core, metrics: MetricsPage | None = None) -> None:
        self._core = core
        self._metrics_page = metrics or self._own_metrics
        self._openapi: Response | None = None
        self._router = Router(self._routes(), redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        scope["app"] = self  # makes the router raise for unknown paths instead of answering itself
        request_id = _request_id(scope)
        code = 499  # the client went away
        begun = False

        async def outgoing(message: Message) -> None:
            nonlocal code, begun
            if message["type"] == "http.response.start":
                code, begun = message["status"], True
                if request_id:
                    message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._router(scope, receive, outgoing)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as error:  # the transport's one broad except
            refused = refusal(error)
            self._core.metrics.rejected(refused.kind)
            if not begun:
                await error_response(refused)(scope, receive, outgoing)
        finally:
            self._count(scope, code, time.perf_counter() - started)

    def _count(self, scope: Scope, code: int, seconds: float) -> None:
        served = scope.get(SERVED)
        operation = scope.get("path_params", {}).get("operation")
        method = operation if operation in OPERATIONS else "other"
        model, version = served.metrics.key if served else ("", "")
        self._core.metrics.request((model, version, method, "http"), str(code), seconds)

    def _routes(self) -> list[Route]:
        pages = Pages(self._core)
        operate = Operations(self._core)

        async def operation(request: Request) -> Response:
            return await operate(request)

        model = "/v1/models/{model}"
        one = model + "/versions/{version}"
        return [
            Route(model + "/{operation}", operation, methods=["POST"]),
            Route(one + "/{operation}", operation, methods=["POST"]),
            Route(one, pages.manifest),
            Route(model, pages.manifest),
            Route("/v1/models", pages.models),
            Route("/metrics", self._metrics),
            Route("/healthz", pages.health),
            Route("/openapi.json", self._describe),
            Route("/docs", docs.page),
            Route("/docs/", docs.page),
            Route("/docs/{file}", docs.file),
            Route("/", pages.root),
        ]

    async def _metrics(self, request: Request) -> Response:
        return Response(await self._metrics_page(), media_type=CONTENT_TYPE)

    async def _own_metrics(self) -> str:
        return self._core.metrics.snapshot()

    async def _describe(self, request: Request) -> Response:
        if self._openapi is None:
            manifests = [model.manifest for model in self._core.catalogue.all()]
            self._openapi = json_response(document(own_version(), manifests))
        return self._openapi


def build_app(core: Core, metrics: MetricsPage | None = None) -> App:
    """The application over a core; see :class:`App`."""
    return App(core, metrics)


def _request_id(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == HEADER:
            return value if SANE.fullmatch(value) else None
    return None


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
