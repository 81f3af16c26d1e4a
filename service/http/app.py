"""The ASGI application: routes, the one place that counts requests, the one broad ``except``."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from service.catalogue import Catalogue
from service.core import Core
from service.deadline import within
from service.errors import ErrorKind, ServiceError
from service.http import docs
from service.http.catalogue import Pages
from service.http.counted import counted, is_open_inference
from service.http.door import admit
from service.http.drift import Drift, Everyone
from service.http.errors import error_response, refusal, unimplemented
from service.http.headers import allowed_seconds
from service.http.oip.routes import OpenInference
from service.http.openapi import document
from service.http.operations import REFUSED, Operations, json_response
from service.http.parsing import ADMISSION
from service.http.request_id import sent_id
from service.http.routing import Routing
from service.http.serving import Serving
from service.intake import Admission
from service.metrics import CONTENT_TYPE, own_version
from service.oip.repository import Change, Repository

if TYPE_CHECKING:
    from service.http.traced import Traced

MetricsPage = Callable[[], Awaitable[str]]


class App:
    """A bare ASGI application over a core.

    Args:
        core: Does the work; started before the first request.
        metrics: Gives the page ``/metrics``; this replica's own if None.
        change: Loads and unloads a model in all replicas; in this one alone if None.
        drift: Asks all replicas what they know of drift; this one alone if None.
    """

    def __init__(
        self,
        core: Core,
        metrics: MetricsPage | None = None,
        change: Change | None = None,
        drift: Everyone | None = None,
    ) -> None:
        self._core, self._drift = core, Drift(core, drift)
        self._metrics_page = metrics or self._own_metrics
        self._change = change
        self._described: tuple[Catalogue, Response] | None = None
        self._routing = Routing(self._routes())

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
        if is_open_inference(scope):
            scope["path"] = scope["path"].rstrip("/")  # which that protocol leaves open
        answer = _Answering(send, sent_id(scope))
        admission = scope[ADMISSION] = Admission(self._core.work.intake)
        try:
            admit(self._core.door, scope)
            seconds = allowed_seconds(scope)
            if seconds is None:
                await self._respond(scope, receive, answer)
            else:
                async with within(seconds):
                    await self._respond(scope, receive, answer)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as error:  # the transport's one broad except
            refused = _refusal(scope, error)
            self._core.metrics.rejected(refused.kind)
            scope[REFUSED] = refused.kind
            if not answer.begun:
                await error_response(refused)(scope, receive, answer)
        finally:
            admission.close()
            self._count(scope, answer.code, time.perf_counter() - started)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler, scope["path_params"] = self._routing.find(scope)
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)

    def _count(self, scope: Scope, code: int, seconds: float) -> None:
        self._core.metrics.request(counted(scope), str(code), seconds)

    def _routes(self) -> list[Route]:
        pages = Pages(self._core)
        repository = Repository(self._core, self._change)
        open_inference = OpenInference(self._core, repository, self._metrics_page)
        operate, choose = Operations(self._core), Serving(self._core, repository)

        async def operation(request: Request) -> Response:
            return await operate(request)

        async def serve(request: Request) -> Response:
            return await choose(request)

        async def drift(request: Request) -> Response:
            return await self._drift(request)

        model = "/v1/models/{model}"
        one = model + "/versions/{version}"
        return [
            Route(model + "/serve", serve, methods=["POST"]),
            Route(model + "/{operation:operation}", operation, methods=["POST"]),
            Route(one + "/{operation:operation}", operation, methods=["POST"]),
            Route(model + "/drift", drift),
            Route(one + "/drift", drift),
            Route(one, pages.manifest),
            Route(model, pages.manifest),
            Route("/v1/models", pages.models),
            *open_inference.routes(),
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
        catalogue = self._core.catalogue
        if self._described is None or self._described[0] is not catalogue:
            manifests = [model.manifest for model in catalogue.all()]
            self._described = (
                catalogue,
                json_response(
                    document(own_version(), manifests, guarded=self._core.door.is_guarded)
                ),
            )
        return self._described[1]


class _Answering:
    """Passes an answer on, and knows how it began."""

    def __init__(self, send: Send, request_id: bytes | None) -> None:
        self._send, self._request_id = send, request_id
        self.code = 499  # the client went away
        self.begun = False

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.code, self.begun = message["status"], True
            if self._request_id:
                message["headers"] = [*message["headers"], (b"x-request-id", self._request_id)]
        return self._send(message)


def build_app(
    core: Core,
    metrics: MetricsPage | None = None,
    change: Change | None = None,
    drift: Everyone | None = None,
) -> App | Traced:
    """The application over a core, see :class:`App`, traced where the settings ask for it."""
    app = App(core, metrics, change, drift)
    if core.tracing is None:
        return app
    from service.http.traced import Traced  # loads OpenTelemetry

    return Traced(app, core.tracing)


def _refusal(scope: Scope, error: Exception) -> ServiceError:
    refused = refusal(error)
    lacking = is_open_inference(scope) and refused.kind is ErrorKind.UNSUPPORTED
    return unimplemented(refused) if lacking else refused


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
