"""Answers that leave in one piece, though uvicorn writes the head of each by itself."""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD = b"HTTP/1."


class OneWrite:
    """A transport that holds back the head of an answer until its body is there.

    A write is a call of the system and a packet, which costs as much as a small density.

    Args:
        transport: Writes.
        loop: On whose next turn a head leaves that is alone.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """See :class:`asyncio.Transport`."""
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data))
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._release)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """See :class:`asyncio.Transport`."""
        self._release()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a transport has
        return getattr(self._transport, name)

    def _release(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)
