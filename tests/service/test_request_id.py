"""Request ids reach an application only where they should."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from service.http.around_serve import middlewares
from service.http.request_id import HideRequestId
from service.http.unanswered import AnswerForLost


def seen(value: bytes, *, sane: bool) -> list[tuple[bytes, bytes]]:
    """Headers that the inner application gets."""
    found: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.extend(scope["headers"])

    headers = [(b"accept", b"*/*"), (b"x-request-id", value)]
    scope = {"type": "http", "headers": headers}
    asyncio.run(HideRequestId(app, sane=sane)(scope, None, None))  # type: ignore[arg-type]
    return found


def test_a_sane_id_passes() -> None:
    assert (b"x-request-id", b"a-1.b_2") in seen(b"a-1.b_2", sane=False)


@pytest.mark.parametrize("value", [b"a b", b"<script>", b"\xff", b"", b"x" * 129])
def test_an_id_unfit_for_a_log_line_does_not_pass(value: bytes) -> None:
    assert seen(value, sane=False) == [(b"accept", b"*/*")]


def test_every_id_is_hidden_from_an_application_behind_one_that_answers_with_it() -> None:
    assert seen(b"a-1", sane=True) == [(b"accept", b"*/*")]


def test_serve_is_given_the_filter_and_the_answer_for_lost_requests() -> None:
    assert [middleware.cls for middleware in middlewares()] == [HideRequestId, AnswerForLost]
