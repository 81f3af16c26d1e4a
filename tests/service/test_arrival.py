"""Requests share runs however they arrive: in one turn of the loop, in two, or one by one."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.arrival import COMES_ALONE
from service.batcher import Batcher
from service.gathering import Busy
from service.jobs import Array, Arrays
from service.lanes import Lane
from tests.service.test_batcher import Seen, a_batcher, ask, matrix, run, square

SHORT_S = 1e-5


async def ask_alone(batcher: Batcher, lane: Lane, x: Array) -> Arrays:
    """As of a transport that hands over one call at a time."""
    COMES_ALONE.set(True)
    return await ask(batcher, lane, x)


def test_requests_of_two_turns_of_the_loop_go_together() -> None:
    seen = Seen()

    async def work() -> None:
        batcher, lane = a_batcher(workers=1), Lane(square, seen)
        lane.ran(1, 1, SHORT_S)
        first = asyncio.ensure_future(ask(batcher, lane, matrix(0, 1)))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(ask(batcher, lane, matrix(1, 1)))
        await asyncio.gather(first, second)
        batcher.close()

    run(work())
    assert seen.requests == [1, 2]  # the first is the one that told how short they are


def test_those_that_come_alone_wait_for_a_short_run_and_share_the_next() -> None:
    seen, begun, opened = Seen(), threading.Event(), threading.Event()
    threads: list[str] = []

    def slow_once(x: Array) -> Arrays:
        threads.append(threading.current_thread().name)
        begun.set()
        assert opened.wait(10)
        return (x,)

    async def work() -> list[Arrays]:
        batcher, lane = a_batcher(workers=2), Lane(slow_once, seen)
        for rows in (1, 2, 4):
            lane.ran(rows, 1, SHORT_S)
        waiting = [asyncio.ensure_future(ask_alone(batcher, lane, matrix(0, 1)))]
        await asyncio.to_thread(begun.wait, 10)
        for place in (1, 2, 3):
            waiting.append(asyncio.ensure_future(ask_alone(batcher, lane, matrix(place, 1))))
            await asyncio.sleep(0.01)
        opened.set()
        answers = await asyncio.gather(*waiting)
        batcher.close()
        return answers

    answers = run(work())
    assert [answer[0][0, 0] for answer in answers] == [0, 1, 2, 3]
    assert seen.requests[3:] == [1, 3]
    assert "MainThread" not in threads


async def asking(batcher: Batcher, lane: Lane, clients: int, times: int) -> None:
    """Clients that ask again as soon as they are answered, one after the other."""

    async def client(place: int) -> None:
        for turn in range(times):
            for _ in range(place + 1):
                await asyncio.sleep(0)
            answer = await ask_alone(batcher, lane, matrix(place + turn, 1))
            assert answer[0][0] == (place + turn) ** 2

    await asyncio.gather(*[client(place) for place in range(clients)])


def runs_of(monkeypatch: pytest.MonkeyPatch, busy: float, clients: int, times: int) -> list[int]:
    """Requests of each run of such clients, beside a loop that is as busy."""
    seen = Seen()
    monkeypatch.setattr(Busy, "share", lambda _: busy)

    async def work() -> None:
        batcher, lane = a_batcher(workers=2), Lane(square, seen)
        for rows in (1, 2, 4, 8):
            lane.pace.ran(rows, SHORT_S)
        await asking(batcher, lane, clients, times)
        batcher.close()

    run(work())
    return seen.requests


def test_on_a_busy_loop_those_who_were_answered_together_go_together_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = runs_of(monkeypatch, busy=1.0, clients=6, times=20)
    assert requests[5:15] == [6] * 10


def test_a_loop_with_time_to_spare_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batcher, "_wait", None)  # what would wait cannot be called
    assert sum(runs_of(monkeypatch, busy=0.1, clients=6, times=20)) == 120


def test_one_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batcher, "_wait", None)
    assert runs_of(monkeypatch, busy=1.0, clients=1, times=20) == [1] * 20


@pytest.mark.parametrize("busy", [1.0, 0.6])
def test_the_wait_for_those_who_do_not_come_again_ends(
    monkeypatch: pytest.MonkeyPatch, busy: float
) -> None:
    monkeypatch.setattr(Busy, "share", lambda _: busy)
    waited: list[float] = []

    async def work() -> None:
        batcher, lane = a_batcher(workers=2), Lane(square, Seen())
        for rows in (1, 2, 4, 8):
            lane.pace.ran(rows, SHORT_S)
        await asking(batcher, lane, 6, 4)
        started = time.perf_counter()
        await ask_alone(batcher, lane, matrix(3, 1))
        waited.append(time.perf_counter() - started)
        batcher.close()

    run(work())
    assert 0.005 < waited[0] < 1.0  # twenty milliseconds, on a machine with time


def test_busy_is_the_share_of_the_time_that_the_thread_has_used() -> None:
    busy = Busy()
    time.sleep(0.05)
    assert busy.share() < 0.5
    end = time.thread_time() + 0.05
    started = time.perf_counter()
    while time.thread_time() < end:
        pass
    wall = time.perf_counter() - started
    assert busy.share() == pytest.approx(0.05 / wall, abs=0.3)


def test_a_long_run_does_not_hold_up_those_that_come_alone() -> None:
    begun, opened = threading.Barrier(2), threading.Event()

    def together(x: Array) -> Arrays:
        begun.wait(10)  # both workers are here, or neither goes on
        assert opened.wait(10)
        return (x,)

    async def work() -> None:
        batcher, lane = a_batcher(workers=2), Lane(together, Seen())
        lane.ran(1, 1, 1.0)
        waiting = [asyncio.ensure_future(ask_alone(batcher, lane, matrix(0, 1)))]
        await asyncio.sleep(0.01)
        waiting.append(asyncio.ensure_future(ask_alone(batcher, lane, matrix(1, 1))))
        opened.set()
        await asyncio.gather(*waiting)
        batcher.close()

    run(work())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.integers(0, 3)), min_size=1),
    st.integers(1, 3),
    st.sampled_from([SHORT_S, 1.0]),
)
def test_every_request_is_answered_however_it_comes(
    asked: list[tuple[int, bool, int]], workers: int, seconds: float
) -> None:
    async def work() -> None:
        batcher, lane = a_batcher(workers), Lane(square, Seen())
        for rows in (1, 2, 4, 8, 16):
            lane.ran(rows, 1, seconds)
        waiting = []
        for rows, alone, turns in asked:
            how = ask_alone if alone else ask
            waiting.append(asyncio.ensure_future(how(batcher, lane, matrix(len(waiting), rows))))
            for _ in range(turns):
                await asyncio.sleep(0)
        for first, answer in enumerate(await asyncio.gather(*waiting)):
            x = matrix(first, asked[first][0])
            for got, expected in zip(answer, square(x), strict=True):
                np.testing.assert_array_equal(got, expected)
        batcher.close()

    run(work())
