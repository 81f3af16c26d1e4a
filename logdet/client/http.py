"""The native HTTP API: Arrow streams both ways for columns, JSON for documents."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from logdet.client.connection import refusals
from logdet.client.errors import InvalidInput, ServiceFailed, refused, seconds
from logdet.client.wire import Asked, Document, Question, Reply, Settings, Table

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
# The service gives up when the caller has: nobody would read the answer.
TIMEOUT_HEADER = "x-request-timeout-seconds"
FACTS_HEADER = "x-logdet-answer"
# What a status means where something else than the service answered, such as a proxy.
_KINDS = {
    401: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    408: "deadline",
    413: "too_large",
    429: "rate_limited",
    502: "unavailable",
    503: "not_ready",
    504: "deadline",
}
_SHOWN = 200


class HttpSender:
    """Sends and waits.

    Args:
        url: Of the service, ``http://`` or ``https://``.
        headers: Sent with every request.
        transport: Of httpx, where its own will not do.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], transport: httpx.BaseTransport | None
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=dict(headers), transport=transport)

    def send(self, asked: Asked, within_s: float | None) -> Any:  # noqa: ANN401 - see Sender
        """See :meth:`logdet.client.wire.Sender.send`.

        httpx limits each read and not their sum; that is looked at after each piece of the
        answer, so one that trickles in and then stops may take twice its time.
        """
        give_up = math.inf if within_s is None else time.monotonic() + within_s
        with refusals(self._http.base_url, within_s):
            response = self._http.send(_request(self._http, asked, within_s), stream=True)
            try:
                pieces = []
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    if time.monotonic() > give_up:
                        raise TimeoutError
            finally:
                response.close()
        return _reply(asked, response, b"".join(pieces))

    def close(self) -> None:
        """See :meth:`logdet.client.wire.Sender.close`."""
        self._http.close()


class AsyncHttpSender:
    """Sends, and lets others work while it waits; see :class:`HttpSender`."""

    def __init__(
        self, url: str, headers: Mapping[str, str], transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=dict(headers), transport=transport)

    async def send(self, asked: Asked, within_s: float | None) -> Any:  # noqa: ANN401 - see Sender
        """See :meth:`logdet.client.wire.Sender.send`."""
        with refusals(self._http.base_url, within_s):
            async with asyncio.timeout(within_s):
                response = await self._http.send(_request(self._http, asked, within_s))
        return _reply(asked, response, response.content)

    async def close(self) -> None:
        """See :meth:`logdet.client.wire.Sender.close`."""
        await self._http.aclose()


def _request(
    http: httpx.Client | httpx.AsyncClient, asked: Asked, within_s: float | None
) -> httpx.Request:
    headers = {"accept": JSON}
    if within_s is not None:
        headers[TIMEOUT_HEADER] = f"{max(within_s, 0.001):.3f}"
    body: bytes | None = None
    settings: Settings = {}
    if isinstance(asked, Question):
        headers["accept"], settings = ARROW, asked.settings
        body = _stream(_merged(asked))
        headers["content-type"] = ARROW
    elif asked.body is not None:
        body = _json(asked.body)
        headers["content-type"] = JSON
    method = "GET" if isinstance(asked, Document) and asked.body is None else "POST"
    return http.build_request(
        method, _path(asked), params=settings, headers=headers, content=body, timeout=within_s
    )


def _path(asked: Asked) -> str:
    parts = ["/v1/models"]
    if asked.model is not None:
        parts.append(quote(asked.model, safe=""))
    if asked.version is not None:
        parts.append(f"versions/{asked.version}")
    if asked.operation is not None:
        parts.append(asked.operation)
    return "/".join(parts)


def _merged(question: Question) -> Table | None:
    """Rows and context in one table; one row of context stands beside every row."""
    rows, context = question.rows, question.context
    if rows is None or context is None:
        return context if rows is None else rows
    if context.num_rows != rows.num_rows:
        context = context.take([0] * rows.num_rows)
    for name in context.column_names:
        rows = rows.append_column(name, context.column(name))
    return rows


def _stream(table: Table | None) -> bytes:
    import pyarrow as pa

    if table is None:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _json(body: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"expected what JSON can say, but {error}") from error


def _reply(asked: Asked, response: httpx.Response, body: bytes) -> Any:  # noqa: ANN401 - see Sender
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code != httpx.codes.OK:
        raise _refusal(response, body)
    if kind != (JSON if isinstance(asked, Document) else ARROW):
        raise ServiceFailed(f"expected an answer of a logdet service, got one of {kind!r}")
    return _document(body) if isinstance(asked, Document) else _columns(response, body)


def _document(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ServiceFailed("expected a JSON object of a logdet service, got something else")
    return told


def _columns(response: httpx.Response, body: bytes) -> Reply:
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(body).read_all()
        facts = dict(json.loads(response.headers[FACTS_HEADER]))
        facts["version"]
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ServiceFailed(
            f"expected an Arrow stream with the version in {FACTS_HEADER}, got none"
        ) from error
    for place, name in enumerate(table.column_names):
        if pa.types.is_dictionary(table.schema.field(place).type):
            words = table.column(place).cast(pa.string())
            table = table.set_column(place, name, words)
    return Reply(table.replace_schema_metadata(None), facts)


def _refusal(response: httpx.Response, body: bytes) -> Exception:
    code = response.status_code
    try:
        told = json.loads(body)
        kind, message = str(told["kind"]), str(told["error"])
    except (ValueError, TypeError, KeyError):
        kind = _KINDS.get(code, "internal")
        said = " ".join(body[:_SHOWN].decode(errors="replace").split())
        message = f"got status {code} from {response.url.host}" + (said and f": {said}")
    return refused(kind, message, seconds(response.headers.get("retry-after")))
