"""Requests share runs however they arrive: in one turn of the loop, in two, or one by one."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.arrival import COMES_ALONE
from service.batcher import Batcher
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
