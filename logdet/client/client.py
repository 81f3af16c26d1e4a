"""The clients: one that waits, and one for an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

import httpx

from logdet.client.answer import Answered
from logdet.client.calls import Calls
from logdet.client.errors import InvalidInput, ServiceRefused
from logdet.client.http import AsyncHttpSender, HttpSender
from logdet.client.operations import Operations
from logdet.client.patience import Patience, Steps
from logdet.client.token import Token, with_token
from logdet.client.wire import Sender, Target

T = TypeVar("T")

TIMEOUT_S = 30.0
RETRIES = 4
CHUNK_ROWS = 65_536
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Client(Operations[Answered, dict[str, Any], list[dict[str, Any]]]):
    """Asks a service and waits for its answers; may be shared by threads.

    Rows are an array or list of rows, shape ``(rows, features)`` in the order of the manifest's
    features, or a frame (pandas or polars DataFrame, pyarrow Table or RecordBatch) or a list of
    dicts that has the features by name, in any order and among others. None, NaN, null and masked
    values stand for what is not known. Arrays and lists are answered by an
    :class:`~logdet.client.Answer`, a frame by a frame of its kind (pandas keeps the index), or as
    ``frame`` says. A row without an answer does not spoil the others: its numbers are NaN, and
    ``status`` says why. Of every operation:

    - ``context``: Of a conditional density, which needs it: as rows are, one row for all or one
      for each. It may be left out where ``rows`` has its columns by name.
    - ``version``: Of the model; the newest if None.
    - ``frame``: ``numpy``, ``pandas``, ``polars`` or ``arrow``; None for the kind of the rows.
    - ``timeout``: Seconds of the whole call, with every attempt; None for the client's own.

    Each raises a :class:`~logdet.client.ServiceRefused` if there is no answer.

    Args:
        url: ``http://HOST:PORT``, ``https://..``, or ``grpc://HOST:PORT`` (``grpcs://`` over
            TLS) for the typed gRPC service, which has log_prob, score, encode, decode and sample
            of arrays.
        token: That the service wants; the variable LOGDET_TOKEN of the environment if None.
        timeout: Seconds of a call that says no other, all its attempts together. The service is
            told what is left and gives up with the caller. None sets no limit but the service's.
        retries: Attempts after the first, where the service has too much to do or the connection
            is lost. Every operation may be repeated.
        chunk_rows: Most rows of one request; more are sent one piece after another.
        headers: Sent with every request.
        transport: Of httpx, for sockets or certificates of its own; not for ``grpc://``.

    Raises:
        InvalidInput: If an argument is not as expected.
    """

    def __init__(  # noqa: PLR0913  one parameter a setting
        self,
        url: str,
        *,
        token: str | Token | None = None,
        timeout: float | None = TIMEOUT_S,
        retries: int = RETRIES,
        chunk_rows: int = CHUNK_ROWS,
        headers: Mapping[str, str] = _NO_HEADERS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        target = _grpc_target(url, transport)
        self._calls = _calls(timeout, retries, chunk_rows, is_named=target is None)
        self._sender: Sender
        self._is_closed = False
        headers = with_token(headers, token)
        if target is None:
            self._sender = HttpSender(url, headers, transport)
        else:
            from logdet.client.grpc import GrpcSender

            self._sender = GrpcSender(target, headers)

    def _run(self, steps: Steps[T]) -> T:
        try:
            attempt = next(steps)
            while True:
                if attempt.after_s:  # a sleep of nothing still gives the processor away
                    time.sleep(attempt.after_s)
                try:
                    _check_open(self._is_closed)
                    reply = self._sender.send(attempt.asked, attempt.within_s)
                except ServiceRefused as error:
                    attempt = steps.throw(error)
                else:
                    attempt = steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    def close(self) -> None:
        """Give the connections back; a client that was closed cannot ask again."""
        self._is_closed = True
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(
    Operations[Awaitable[Answered], Awaitable[dict[str, Any]], Awaitable[list[dict[str, Any]]]]
):
    """Asks a service, and lets others work while it waits: every operation is awaited.

    Settings, rows and answers are those of :class:`Client`. One client is for one event loop.
    """

    def __init__(  # noqa: PLR0913  one parameter a setting
        self,
        url: str,
        *,
        token: str | Token | None = None,
        timeout: float | None = TIMEOUT_S,
        retries: int = RETRIES,
        chunk_rows: int = CHUNK_ROWS,
        headers: Mapping[str, str] = _NO_HEADERS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        target = _grpc_target(url, transport)
        self._calls = _calls(timeout, retries, chunk_rows, is_named=target is None)
        self._sender: Sender
        self._is_closed = False
        headers = with_token(headers, token)
        if target is None:
            self._sender = AsyncHttpSender(url, headers, transport)
        else:
            from logdet.client.grpc import AsyncGrpcSender

            self._sender = AsyncGrpcSender(target, headers)

    async def _run(self, steps: Steps[T]) -> T:
        try:
            attempt = next(steps)
            while True:
                if attempt.after_s:
                    await asyncio.sleep(attempt.after_s)
                try:
                    _check_open(self._is_closed)
                    reply = await self._sender.send(attempt.asked, attempt.within_s)
                except ServiceRefused as error:
                    attempt = steps.throw(error)
                else:
                    attempt = steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    async def close(self) -> None:
        """Give the connections back; a client that was closed cannot ask again."""
        self._is_closed = True
        await self._sender.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _grpc_target(
    url: str, transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None
) -> Target | None:
    """Where a gRPC service is; None where the URL is one of HTTP."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    is_grpc = parsed.scheme in ("grpc", "grpcs")
    if not parsed.host or not (parsed.scheme in ("http", "https") or (is_grpc and parsed.port)):
        raise InvalidInput(
            f"expected a URL such as http://127.0.0.1:8000 or grpc://127.0.0.1:8001, got {url!r}"
        )
    if is_grpc and transport is not None:
        raise InvalidInput("expected no transport with grpc://, got one of httpx")
    return Target(parsed.netloc.decode(), parsed.scheme == "grpcs") if is_grpc else None


def _calls(timeout: float | None, retries: int, chunk_rows: int, *, is_named: bool) -> Calls:
    if chunk_rows < 1:
        raise InvalidInput(f"expected chunk_rows to be 1 or more, got {chunk_rows}")
    return Calls(Patience(timeout, retries), chunk_rows, is_named)


def _check_open(is_closed: bool) -> None:
    if is_closed:
        raise InvalidInput("expected a client that is open, got one after its close()")
