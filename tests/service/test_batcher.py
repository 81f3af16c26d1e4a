from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batcher import Batcher
from service.errors import ErrorKind, ServiceError
from service.jobs import Array, Arrays
from service.lanes import Lane


@dataclass
class Seen:
    """Remembers runs."""

    rows: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    waits: int = 0

    def ran(self, rows: int, requests: int, seconds: float) -> None:
        self.rows.append(rows)
        self.requests.append(requests)

    def waited(self, seconds: float) -> None:
        self.waits += 1


def square(x: Array) -> Arrays:
    return x[:, 0] ** 2, -x


def matrix(first: int, rows: int) -> Array:
    return np.arange(first, first + rows, dtype=np.float64)[:, None]


async def ask(batcher: Batcher, lane: Lane, x: Array) -> Arrays:
    return await batcher.submit(lane, len(x), x[0].nbytes, lambda a, b: x[a:b])


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())


def a_batcher(
    workers: int = 2,
    chunk_rows: int = 16,
    queue_rows: int = 10**6,
    queue_bytes: int = 2**30,
    timeout_s: float = 30.0,
) -> Batcher:
    return Batcher(workers, chunk_rows, queue_rows, queue_bytes, timeout_s)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=30),
    st.integers(1, 3),
    st.integers(1, 40),
)
def test_batched_is_unbatched(sizes: list[int], workers: int, chunk_rows: int) -> None:
    seen = Seen()

    async def work() -> None:
        batcher = a_batcher(workers, chunk_rows)
        lane = Lane(square, seen)
        starts = np.cumsum([0, *sizes[:-1]]).tolist()
        inputs = [matrix(first, rows) for first, rows in zip(starts, sizes, strict=True)]
        answers = await asyncio.gather(*(ask(batcher, lane, x) for x in inputs))
        for x, answer in zip(inputs, answers, strict=True):
            for got, expected in zip(answer, square(x), strict=True):
                np.testing.assert_array_equal(got, expected)
        assert batcher.rows == 0
        assert batcher.bytes == 0
        batcher.close()

    run(work())
    assert sum(seen.rows) == sum(sizes)
    assert max(seen.rows) <= chunk_rows
    assert seen.waits == len(sizes)


def test_a_lane_may_allow_fewer_rows_in_a_run_than_the_batcher() -> None:
    seen = Seen()

    async def work() -> None:
        batcher = a_batcher(chunk_rows=16)
        lane = Lane(square, seen, limit=3)
        inputs = [matrix(0, rows) for rows in (1, 10, 2)]
        for x, answer in zip(
            inputs, await asyncio.gather(*(ask(batcher, lane, x) for x in inputs)), strict=True
        ):
            np.testing.assert_array_equal(answer[1], -x)
        batcher.close()

    run(work())
    assert sum(seen.rows) == 13
    assert max(seen.rows) == 3


def held_back(gate: threading.Event) -> Callable[[Array], Arrays]:
    def slow(x: Array) -> Arrays:
        gate.wait(10)
        return (x,)

    return slow


def test_what_waits_while_the_worker_is_busy_goes_together() -> None:
    seen, gate = Seen(), threading.Event()

    async def work() -> None:
        batcher = a_batcher(workers=1)
        lane = Lane(held_back(gate), seen)
        first = asyncio.ensure_future(ask(batcher, lane, matrix(0, 1)))
        await asyncio.sleep(0.01)
        rest = [asyncio.ensure_future(ask(batcher, lane, matrix(i, 1))) for i in range(10)]
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(first, *rest)
        batcher.close()

    run(work())
    assert seen.rows == [1, 10]
    assert seen.requests == [1, 10]


def test_a_one_row_request_waits_for_no_more_than_one_run_of_a_large_one() -> None:
    runs_before_answer: list[list[int]] = []
    seen = Seen()

    def slow(x: Array) -> Arrays:
        time.sleep(0.002)
        return (x,)

    async def work() -> None:
        batcher = a_batcher(workers=1, chunk_rows=16)
        lane = Lane(slow, seen)
        large = [asyncio.ensure_future(ask(batcher, lane, matrix(0, 1600))) for _ in range(3)]
        await asyncio.sleep(0.02)
        for _ in range(20):
            before = len(seen.rows)
            await ask(batcher, lane, matrix(0, 1))
            runs_before_answer.append(seen.rows[before:])
        assert not any(one.done() for one in large)
        await asyncio.gather(*large)
        batcher.close()

    run(work())
    # What was running, and then its own run, in which no row of a large one is.
    assert all(rows in ([16, 1], [1]) for rows in runs_before_answer), runs_before_answer


def test_a_large_request_goes_on_under_a_stream_of_small_ones() -> None:
    seen = Seen()

    async def work() -> None:
        batcher = a_batcher(workers=1, chunk_rows=16)
        lane = Lane(square, seen)
        large = asyncio.ensure_future(ask(batcher, lane, matrix(0, 1600)))

        async def small() -> None:
            while not large.done():
                await ask(batcher, lane, matrix(0, 1))

        await asyncio.gather(large, *(small() for _ in range(8)))
        batcher.close()

    run(work())
    last = len(seen.rows) - 1 - seen.rows[::-1].index(16)
    longest = max(
        len(gap) for gap in "".join("L" if n == 16 else "s" for n in seen.rows[:last]).split("L")
    )
    assert longest <= 1


def test_lanes_take_turns() -> None:
    order: list[str] = []

    def named(name: str) -> Lane:
        def note(x: Array) -> Arrays:
            order.append(name)
            return (x,)

        return Lane(note, Seen())

    async def work() -> None:
        batcher = a_batcher(workers=1, chunk_rows=4)
        a, b = named("a"), named("b")
        await asyncio.gather(
            ask(batcher, a, matrix(0, 400)),
            ask(batcher, b, matrix(0, 8)),
        )
        batcher.close()

    run(work())
    assert order[:4].count("b") == 2


def test_rows_that_break_a_run_fail_their_own_request_only() -> None:
    seen = Seen()

    def fragile(x: Array) -> Arrays:
        if (x == 13).any():
            raise RuntimeError("poison")
        return (x,)

    async def work() -> list[Any]:
        batcher = a_batcher(workers=1)
        lane = Lane(fragile, seen)
        requests = (ask(batcher, lane, matrix(i, 1)) for i in range(10, 16))
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert batcher.rows == 0
        batcher.close()
        return answers

    answers = run(work())
    assert [isinstance(a, RuntimeError) for a in answers] == [i == 13 for i in range(10, 16)]
    assert [a[0][0, 0] for i, a in enumerate(answers, 10) if i != 13] == [10, 11, 12, 14, 15]


def test_a_run_known_to_be_short_does_not_leave_the_event_loop() -> None:
    threads: list[str] = []

    def note(x: Array) -> Arrays:
        threads.append(threading.current_thread().name)
        if (x < 0).any():
            raise RuntimeError("poison")
        return (x,)

    async def work() -> list[Any]:
        batcher = a_batcher(workers=1)
        lane = Lane(note, Seen())
        for _ in range(3):
            await ask(batcher, lane, matrix(0, 1))
        lane.ran(1, 1, 1.0)  # it became slow
        for _ in range(2):
            await ask(batcher, lane, matrix(0, 1))
        lane.ran(2, 1, 0.0)
        pair = (ask(batcher, lane, matrix(first, 1)) for first in (-1, 1))
        answers = await asyncio.gather(*pair, return_exceptions=True)
        batcher.close()
        return answers

    answers = run(work())
    assert [name == "MainThread" for name in threads[:5]] == [False, True, True, False, False]
    assert isinstance(answers[0], RuntimeError)
    assert answers[1][0][0, 0] == 1


def test_a_full_queue_refuses_and_recovers() -> None:
    gate = threading.Event()

    def slow(x: Array) -> Arrays:
        gate.wait(10)
        return (x,)

    async def work() -> None:
        batcher = a_batcher(workers=1, queue_rows=5)
        lane = Lane(slow, Seen())
        inside = asyncio.ensure_future(ask(batcher, lane, matrix(0, 5)))
        await asyncio.sleep(0.01)
        with pytest.raises(ServiceError) as refused:
            await ask(batcher, lane, matrix(0, 1))
        assert refused.value.kind is ErrorKind.OVERLOADED
        gate.set()
        await inside
        await ask(batcher, lane, matrix(0, 1))
        batcher.close()

    run(work())


def test_waiting_requests_are_bounded_in_bytes_too() -> None:
    async def work() -> None:
        batcher = a_batcher(workers=1, queue_bytes=100_000)
        lane = Lane(square, Seen())
        many = [ask(batcher, lane, matrix(0, 1)) for _ in range(20)]
        answers = await asyncio.gather(*many, return_exceptions=True)
        refused = [a for a in answers if isinstance(a, ServiceError)]
        assert 0 < len(refused) < 20
        batcher.close()

    run(work())


def test_a_request_that_cannot_make_its_time_is_refused_at_once() -> None:
    gate = threading.Event()

    async def work() -> None:
        batcher = a_batcher(workers=2, chunk_rows=10)
        lane = Lane(held_back(gate), Seen())
        lane.pace.ran(10, 1.0)  # a tenth of a second a row
        asked = [asyncio.ensure_future(ask(batcher, lane, matrix(0, 100))) for _ in range(2)]
        await asyncio.sleep(0.01)
        x = matrix(0, 60)
        # Three requests share two workers: 60 rows of each, 18 s of work.
        with pytest.raises(ServiceError, match="about 9 s beside what is waiting") as refused:
            await batcher.submit(lane, 60, 8, lambda a, b: x[a:b], left_s=8.9)
        assert refused.value.kind is ErrorKind.OVERLOADED
        assert refused.value.retry_after_s == 9
        in_time = asyncio.ensure_future(
            batcher.submit(lane, 60, 8, lambda a, b: x[a:b], left_s=9.1)
        )
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(in_time, *asked)
        assert batcher.rows == 0
        batcher.close()

    run(work())


def test_a_request_in_an_empty_queue_is_tried_whatever_its_time() -> None:
    async def work() -> None:
        batcher = a_batcher()
        lane = Lane(square, Seen())
        lane.pace.ran(10, 100.0)
        x = matrix(0, 60)
        await batcher.submit(lane, 60, 8, lambda a, b: x[a:b], left_s=0.5)
        batcher.close()

    run(work())


def test_requests_are_given_up_after_their_time_each_at_its_own() -> None:
    gate = threading.Event()

    async def work() -> None:
        batcher = a_batcher(workers=1, timeout_s=0.1)
        lane = Lane(held_back(gate), Seen())
        started = time.perf_counter()
        first = asyncio.ensure_future(ask(batcher, lane, matrix(0, 1)))
        await asyncio.sleep(0.06)
        second = asyncio.ensure_future(ask(batcher, lane, matrix(0, 1)))
        ended = []
        for one in (first, second):
            with pytest.raises(TimeoutError):
                await one
            ended.append(time.perf_counter() - started)
        assert ended[0] >= 0.1
        assert ended[1] >= 0.16
        assert ended[1] < 5
        gate.set()
        assert batcher.rows == 0
        batcher.close()

    run(work())


def test_a_cancelled_request_leaves_the_queue_without_being_run() -> None:
    seen, gate = Seen(), threading.Event()

    async def work() -> None:
        batcher = a_batcher(workers=1)
        lane = Lane(held_back(gate), seen)
        first = asyncio.ensure_future(ask(batcher, lane, matrix(0, 1)))
        await asyncio.sleep(0.01)
        gone = asyncio.ensure_future(ask(batcher, lane, matrix(0, 1000)))
        after = asyncio.ensure_future(ask(batcher, lane, matrix(0, 2)))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, after)
        assert batcher.rows == 0
        batcher.close()

    run(work())
    assert seen.rows == [1, 2]


def test_a_part_to_be_run_alone_is_not_run_for_a_request_that_has_ended() -> None:
    runs: list[list[float]] = []
    gate = threading.Event()

    def fragile(x: Array) -> Arrays:
        runs.append(x[:, 0].tolist())
        if len(runs) == 1:
            gate.wait(10)
            raise RuntimeError("poison")
        return (x,)

    async def work() -> None:
        batcher = a_batcher(workers=1)
        lane = Lane(fragile, Seen())
        asked = [asyncio.ensure_future(ask(batcher, lane, matrix(i, 1))) for i in range(3)]
        await asyncio.sleep(0.01)
        asked[1].cancel()
        await asyncio.sleep(0)
        gate.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answers[1], asyncio.CancelledError)
        assert [answers[i][0][0, 0] for i in (0, 2)] == [0, 2]
        assert batcher.rows == 0
        batcher.close()

    run(work())
    assert runs == [[0, 1, 2], [0], [2]]
