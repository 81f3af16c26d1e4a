"""More than the service can take: refused at once, in its own words, and forgotten."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.config import ServiceConfig
from service.core import Core
from service.http.app import App, build_app
from service.jobs import Array, Arrays
from service.pace import Pace
from tests.engines import embedded

ROW = [10.0, -3.0, 40, 7.1]
SCORE = "/v1/models/gauss/score"


def client(app: App) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def rows(count: int) -> bytes:
    return json.dumps({"rows": [ROW] * count}).encode()


async def dribbling(body: bytes, go: asyncio.Event) -> AsyncIterator[bytes]:
    yield body[:-1]
    await go.wait()
    yield body[-1:]


def test_bodies_share_a_room_and_leave_it_when_they_are_answered(root: Path) -> None:
    body = rows(1000)
    core = Core(ServiceConfig(bundles=root, provider="cpu", intake_bytes=int(len(body) * 1.5)))
    core.load()

    async def work() -> None:
        app, go = build_app(core), asyncio.Event()
        async with client(app) as api:
            first = asyncio.ensure_future(api.post(SCORE, content=dribbling(body, go)))
            await asyncio.sleep(0.05)
            assert core.work.intake.used_bytes == len(body) - 1
            told = await api.post(SCORE, content=body)
            untold = await api.post(SCORE, content=dribbling(body, go))
            for refused in (told, untold):
                assert refused.status_code == 503
                assert refused.json()["kind"] == "overloaded"
                assert f"no room for {len(body)}" in told.json()["error"]
                assert refused.headers["retry-after"] == "1"
            small = await api.post(SCORE, content=rows(1))
            go.set()
            assert small.status_code == (await first).status_code == 200
            assert core.work.intake.used_bytes == 0
            assert (await api.post(SCORE, content=body)).status_code == 200
            assert (await api.post(SCORE, content=body[:-1])).status_code == 400
            assert core.work.intake.used_bytes == 0

    asyncio.run(work())


def test_a_body_larger_than_the_room_is_taken_where_it_is_alone(root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", intake_bytes=10))
    core.load()

    async def work() -> None:
        async with client(build_app(core)) as api:
            assert (await api.post(SCORE, content=rows(10))).status_code == 200

    asyncio.run(work())


def test_a_request_that_cannot_be_in_time_is_told_at_once_when_to_come_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1, chunk_rows=64))
    core.load()
    lane = core.find("gauss").lanes().evaluate  # type: ignore[union-attr]
    lane.pace.ran(64, 0.064)  # a millisecond a row, which no run tells otherwise
    monkeypatch.setattr(Pace, "ran", lambda pace, rows, seconds: None)
    run = lane.run

    def slow(x: Array) -> Arrays:
        time.sleep(0.005)
        return run(x)

    lane.run = slow

    async def work() -> None:
        async with client(build_app(core)) as api:
            before = asyncio.ensure_future(api.post(SCORE, content=rows(20_000)))
            await asyncio.sleep(0.2)
            hurried = {"x-request-timeout-seconds": "2"}
            started = time.perf_counter()
            refused = await api.post(SCORE, content=rows(5_000), headers=hurried)
            assert time.perf_counter() - started < 1.0
            assert refused.status_code == 503
            assert refused.json()["kind"] == "overloaded"
            seconds = int(refused.headers["retry-after"])
            assert f"try again in {seconds} s" in refused.json()["error"]
            assert seconds > 2
            small = await api.post(SCORE, content=rows(1), headers=hurried)
            assert small.status_code == (await before).status_code == 200

    asyncio.run(work())


@pytest.mark.serve
def test_memory_is_bounded_whatever_arrives_at_once(root: Path) -> None:
    body = rows(60_000)
    limits = {"LOGDET_INTAKE_BYTES": str(4 * len(body)), "LOGDET_GRPC": "false"}

    async def burst(url: str) -> list[int]:
        limit = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(base_url=url, limits=limit, timeout=60) as api:
            asked = (api.post(SCORE, content=body) for _ in range(40))
            answers = await asyncio.gather(*asked, return_exceptions=True)
        return [a.status_code if isinstance(a, httpx.Response) else 0 for a in answers]

    with embedded(root, limits) as running:
        asyncio.run(burst(running.url))
        after_one = peak_bytes(running.process.pid)
        codes = [code for _ in range(3) for code in asyncio.run(burst(running.url))]
        growth = peak_bytes(running.process.pid) - after_one
    assert codes.count(200) > 3
    # A refused body may be cut off before it is sent.
    assert set(codes) <= {200, 503, 0}
    assert 503 in codes
    assert growth < 0.25 * after_one


def peak_bytes(pid: int) -> int:
    found: Any = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024
