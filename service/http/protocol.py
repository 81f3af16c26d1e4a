"""Connections with bounds: how large the head of a request may be, and how slowly one may arrive.

uvicorn has neither, and holds whatever has arrived of a header that does not end.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.errors import ErrorKind
from service.http.one_write import OneWrite

MAX_HEAD_BYTES = 64 * 1024  # of the request line and the headers
MAX_HEADERS = 100


class HeadTooLargeError(Exception):
    """More bytes or headers than a request may have."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection of uvicorn's that refuses what is too large or too slow.

    Args:
        timeout_s: Seconds in which a request must have arrived whole, from its first byte; and the
            first byte itself, of a new connection.
        config: Of uvicorn.
        server_state: Of uvicorn.
        app_state: Of uvicorn.
    """

    def __init__(
        self,
        timeout_s: float,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.url = b""  # uvicorn has none before the first request
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._is_arriving = False
        self._read_bytes = 0  # of the piece that is looked at
        self._idle_bytes = 0  # that have come since the last of a body: of a head or of trailers

    @classmethod
    def within(cls, timeout_s: float) -> Any:  # noqa: ANN401 - uvicorn wants a class
        """What makes connections with this bound."""
        return partial(cls, timeout_s)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See :class:`asyncio.Protocol`."""
        super().connection_made(cast("asyncio.Transport", OneWrite(transport, self.loop)))
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._read_bytes = len(data)
        self._idle_bytes += len(data)
        super().data_received(data)
        if not self._is_arriving:
            return
        if self._idle_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
        elif self._timer is None:  # never for a request that comes in one piece
            self._arm()

    def on_message_begin(self) -> None:
        """A request begins somewhere in the piece that is read."""
        super().on_message_begin()
        self._disarm()
        self._is_arriving = True
        self._idle_bytes = 0

    def on_headers_complete(self) -> None:
        """See what the application will see, before it does.

        Raises:
            HeadTooLargeError: To the parser, which then stops.
        """
        if len(self.headers) > MAX_HEADERS or self._is_head_too_large():
            raise HeadTooLargeError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, which the application bounds."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived."""
        self._is_arriving = False
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser did not take."""
        if len(self.headers or ()) > MAX_HEADERS or self._is_head_too_large():
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def _is_head_too_large(self) -> bool:
        if self._read_bytes + self._idle_bytes <= MAX_HEAD_BYTES:  # nor is any part of it
            return False
        sizes = (len(name) + len(value) for name, value in self.headers or ())
        return len(self.url) + sum(sizes) > MAX_HEAD_BYTES

    def _refuse_head(self) -> None:
        told = (
            f"expected a request line and headers of at most {MAX_HEAD_BYTES} bytes, and at most "
            f"{MAX_HEADERS} headers, got more"
        )
        self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, ErrorKind.TOO_LARGE, told)

    def _give_up(self) -> None:
        self._timer = None
        if self.pipeline or self._is_answering():
            self._arm()  # what is late waits for the answer to the request before it
            return
        told = f"expected the whole request within {self._timeout_s:g} s, got a part of it"
        self._end(HTTPStatus.REQUEST_TIMEOUT, ErrorKind.DEADLINE, told)

    def _is_answering(self) -> bool:
        """Whether a request that has arrived whole is answered now."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    def _end(self, status: HTTPStatus, kind: ErrorKind, told: str) -> None:
        """Refuse in the service's words if nothing else was said, and close."""
        self._disarm()
        self._is_arriving = False
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = orjson.dumps({"error": told, "kind": kind.value})
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _arm(self) -> None:
        self._timer = self.loop.call_later(self._timeout_s, self._give_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
