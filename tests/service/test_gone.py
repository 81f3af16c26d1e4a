"""Requests whose rest is lost with whoever passed them on."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.http.gone import GoneWhere


class LostError(Exception):
    """Of a proxy that has died."""


async def broken() -> Message:
    raise LostError


def received(lost: type[Exception]) -> Message:
    """What the inner application gets."""
    found: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(await receive())

    asyncio.run(GoneWhere(app, lost)({"type": "http"}, broken, None))  # type: ignore[arg-type]
    return found[0]


def test_a_request_that_is_lost_with_its_proxy_is_one_whose_client_is_gone() -> None:
    assert received(LostError) == {"type": "http.disconnect"}


def test_other_errors_pass() -> None:
    with pytest.raises(LostError):
        received(KeyError)
