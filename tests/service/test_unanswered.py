"""Requests that an application does not answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.unanswered import AnswerForLost


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    return None


def sent(app: ASGIApp, type_: str = "http") -> list[Any]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(AnswerForLost(app)({"type": type_}, None, send))  # type: ignore[arg-type]
    return messages


def test_a_request_without_an_answer_is_one_to_send_again() -> None:
    start, body = sent(silent)
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert json.loads(body["body"])["kind"] == "not_ready"


def test_an_answer_is_left_alone() -> None:
    start, body = sent(Response(b"well", 500))
    assert (start["status"], body["body"]) == (500, b"well")


def test_what_is_no_request_needs_no_answer() -> None:
    assert sent(silent, "lifespan") == []
