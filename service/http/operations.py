"""``POST /v1/models/{model}/{operation}``: the body to the model's handler, its result to JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.http import expectation
from service.http.kinds import KINDS
from service.http.parsing import only, read_json
from service.http.reading import read_call, written
from service.operations.kinds import operation_of

T = TypeVar("T")

SERVED = "logdet.served"  # where a request's scope remembers its model, for the metrics
WATCHED_BYTES = 64 * 1024  # bodies from this size on are dropped when their client goes away


class Operations:
    """Answers requests for every operation of every kind of model.

    Args:
        core: Knows the models.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def __call__(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            ServiceError: If it is refused.
        """
        path = request.path_params
        operation = path["operation"]
        served = self._core.find(path["model"], version_of(path), operation)
        request.scope[SERVED] = served
        body = await read_json(request, self._core.config.limit_body_bytes)
        only(body, KINDS[type(served)].fields[operation])
        if operation == expectation.NAME:
            asked = expectation.expectation(served, body)  # type: ignore[arg-type]
            return json_response(await _unless_gone(request, asked))
        spec = operation_of(served, operation)
        work = spec.run(served, read_call(served, spec, body))
        # Watching for the client costs more than a small request's own work.
        is_long = spec.is_long or not _is_small(request)
        answer = await (_unless_gone(request, work) if is_long else work)
        return json_response(written(served, answer))


def version_of(path: dict[str, Any]) -> int | None:
    """The version in a path, if there is one.

    Raises:
        ServiceError: If it is no whole number.
    """
    text = path.get("version")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise ServiceError(
            ErrorKind.NOT_FOUND, f"expected a version number in the path, got {text[:64]!r}"
        )
    return int(text)


def json_response(content: object) -> Response:
    """An answer; non-finite numbers become null."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")


def _is_small(request: Request) -> bool:
    declared = request.headers.get("content-length", "")
    return declared.isdecimal() and int(declared) < WATCHED_BYTES


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled if the client goes away first."""
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
