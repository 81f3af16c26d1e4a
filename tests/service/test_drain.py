"""A draining application answers what it has begun and refuses the rest."""

from __future__ import annotations

import asyncio

import httpx
from starlette.types import Receive, Scope, Send

from service.http.drain import Drainable


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def client(app: Drainable) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


async def in_flight(slow: Slow, api: httpx.AsyncClient) -> asyncio.Task[httpx.Response]:
    """A request that the application has begun and not answered."""
    request = asyncio.create_task(api.get("/"))
    await slow.begun.wait()
    return request


def test_a_request_in_flight_is_answered_and_a_later_one_is_told_to_come_again() -> None:
    async def scene() -> None:
        slow = Slow()
        app = Drainable(slow)
        async with client(app) as api:
            first = await in_flight(slow, api)
            drained = asyncio.create_task(app.drain(open_s=0.0, timeout_s=5.0))
            await asyncio.sleep(0.05)
            later = await api.get("/")
            slow.go.set()
            assert await drained is True
            assert (await first).text == "done"
        assert later.status_code == 503
        assert later.json()["kind"] == "not_ready"
        assert later.headers["retry-after"] == "1"

    asyncio.run(scene())


def test_a_request_that_arrives_while_the_door_is_still_open_is_answered() -> None:
    async def scene() -> None:
        slow = Slow()
        slow.go.set()
        app = Drainable(slow)
        async with client(app) as api:
            drained = asyncio.create_task(app.drain(open_s=0.2, timeout_s=5.0))
            await asyncio.sleep(0.01)
            assert (await api.get("/")).status_code == 200
            assert await drained is True

    asyncio.run(scene())


def test_waiting_for_a_request_in_flight_is_bounded() -> None:
    async def scene() -> None:
        slow = Slow()
        app = Drainable(slow)
        async with client(app) as api:
            first = await in_flight(slow, api)
            assert await app.drain(open_s=0.0, timeout_s=0.05) is False
            slow.go.set()
            await first

    asyncio.run(scene())
