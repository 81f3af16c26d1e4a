"""``POST /v1/models/{model}/{operation}``: the body to the model's handler, and its result back.

The one place that tells media types apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service.catalogue import version_number
from service.core import Core
from service.errors import ServiceError
from service.http import expectation, media
from service.http.gone import WATCHED_BYTES, unless_gone
from service.http.kinds import KINDS
from service.http.parsing import json_object, only, read_body
from service.http.plain import JSON, Plain
from service.http.reading import Body, read_call, written
from service.http.tables import ndjson, query, reading
from service.http.tables.columns import Columns, flat, layout
from service.operations.call import Call
from service.operations.kinds import operation_of
from service.operations.spec import Operation
from service.results import Codes
from service.served_kinds import AnyServed

# Where a request's scope remembers its model, for the metrics; or all that they count it by; and
# the kind of its refusal.
SERVED, COUNTED, REFUSED = "logdet.served", "logdet.counted", "logdet.refused"


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
        if operation == expectation.NAME:
            return await self._expect(request, served)
        spec = operation_of(served, operation)
        kind = media.given(request.headers, media.BODIES)
        wanted = media.wanted(request.headers, media.ANSWERS, kind)
        named = {} if wanted == media.JSON else layout(served, spec)
        call = await self._call(request, served, spec, kind)
        if wanted == media.NDJSON:
            failed = partial(self._broke_off, request)
            return await ndjson.respond(request, ndjson.Asked(served, spec, named, failed), call)
        work = spec.ask(served, call)
        is_long = spec.takes_long(call.settings) or not _is_small(request)
        answer = await (unless_gone(request, work) if is_long else work)
        if wanted == media.JSON:
            return json_response(written(served, answer))
        told = {**served.told(), **answer.told}
        return await asyncio.to_thread(_table, wanted, told, flat(named, answer), answer.status)

    def _broke_off(self, request: Request, refused: ServiceError) -> None:
        """Count an answer that fails after its status has been sent."""
        self._core.metrics.rejected(refused.kind)
        request.scope[REFUSED] = refused.kind

    async def _call(self, request: Request, served: AnyServed, spec: Operation, kind: str) -> Call:
        """What a request asks, in whatever it is written."""
        body = await read_body(request, self._core.config.limit_body_bytes)
        is_bare = not body and spec.takes == "count" and "content-type" not in request.headers
        if kind != media.JSON or is_bare:
            settings = query.settings(request.query_params, spec)
            # Arrow lets other requests go on meanwhile; the parser of JSON does not.
            return await asyncio.to_thread(reading.read_call, served, spec, kind, body, settings)
        return read_call(served, spec, _fields(request, served, spec.name, body))

    async def _expect(self, request: Request, served: AnyServed) -> Response:
        """The one operation whose question and answer are no tables."""
        kind = media.given(request.headers, (media.JSON,))
        media.wanted(request.headers, (media.JSON,), kind)
        body = await read_body(request, self._core.config.limit_body_bytes)
        fields = _fields(request, served, expectation.NAME, body)
        asked = expectation.expectation(served, fields)  # type: ignore[arg-type]
        return json_response(await unless_gone(request, asked))


def version_of(path: dict[str, Any]) -> int | None:
    """The version in a path, if there is one.

    Raises:
        ServiceError: If it is no whole number.
    """
    text = path.get("version")
    if text is None:
        return None
    return version_number(text)


def json_response(content: object) -> Response:
    """An answer; non-finite numbers become null."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Plain(body, JSON)


def _fields(request: Request, served: AnyServed, operation: str, body: bytes) -> Body:
    """The fields of a JSON body, all of them known to the operation."""
    if request.scope.get("query_string"):
        query.refuse(request.query_params)
    fields = json_object(body)
    only(fields, KINDS[type(served)].fields[operation])
    return fields


def _table(kind: str, told: Mapping[str, object], columns: Columns, status: Codes) -> Response:
    from service.http.tables.writing import respond  # Arrow takes long to import

    return respond(kind, told, columns, status)


def _is_small(request: Request) -> bool:
    declared = request.headers.get("content-length", "")
    return declared.isdecimal() and int(declared) < WATCHED_BYTES
