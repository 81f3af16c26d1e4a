"""Requests into runs: work-conserving, row-aware, fair.

A worker that is idle takes at once what waits; while all are busy, requests of one lane (a way in
which a model runs) collect and go together. A run is at most ``chunk_rows`` long, or shorter where
its lane says so, and requests share it evenly: a one-row request rides in the next run however
long its neighbours are. There are no waiting timers. Runs happen in worker threads, but those
known to be shorter than the way there and back happen on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from service.errors import ErrorKind, ServiceError
from service.lanes import Arrays, Job, Lane, Part, Run, Take

REQUEST_OVERHEAD_BYTES = 16 * 1024  # what a waiting request costs beside its rows
INLINE_SECONDS = 0.0004  # a run that is shorter does not leave the event loop

Outcome = tuple[Arrays, float]


class Batcher:
    """Shares a fixed number of worker threads among lanes, in turn.

    Args:
        workers: Threads; one run each at a time.
        chunk_rows: Most rows of one run.
        queue_rows: Rows admitted and not answered over which requests are refused.
        queue_bytes: The same in bytes.
    """

    def __init__(self, workers: int, chunk_rows: int, queue_rows: int, queue_bytes: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="run")
        self._idle = workers
        self._chunk_rows = chunk_rows
        self._limits = (queue_rows, queue_bytes)
        self._turn: deque[Lane] = deque()
        self._alone: deque[tuple[Lane, Part]] = deque()
        self._scheduled = False
        self.rows = 0
        self.bytes = 0

    async def submit(self, lane: Lane, rows: int, row_bytes: int, take: Take) -> Arrays:
        """Run the rows of one request.

        Args:
            lane: Where they run.
            rows: How many, at least one.
            row_bytes: Memory that one row takes while it waits.
            take: Gives rows ``start`` to ``stop``; called in a worker.

        Raises:
            ServiceError: ``overloaded`` if the queue is full.
        """
        cost = rows * row_bytes + REQUEST_OVERHEAD_BYTES
        self._admit(rows, cost)
        loop = asyncio.get_running_loop()
        job = Job(rows, take, loop.create_future(), time.perf_counter())
        self._enqueue(lane, job, loop)
        try:
            return await job.done
        finally:
            self.rows -= rows
            self.bytes -= cost

    def close(self) -> None:
        """End the worker threads once their runs are done."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _admit(self, rows: int, cost: int) -> None:
        # An empty queue takes any request: the limits on requests are others' business.
        too_many = self.rows + rows > self._limits[0] or self.bytes + cost > self._limits[1]
        if self.rows and too_many:
            raise ServiceError(
                ErrorKind.OVERLOADED,
                f"{self.rows} rows are waiting, which is as many as fit; try again in a second",
            )
        self.rows += rows
        self.bytes += cost

    def _enqueue(self, lane: Lane, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        if not lane.waiting:
            self._turn.append(lane)
        lane.waiting.append(job)
        # At the end of this turn of the loop, so that requests read in one turn go together.
        if self._idle:
            self._schedule(loop)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._dispatch, loop)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        while self._idle and (self._alone or self._turn):
            lane, parts = self._next()
            if not parts:
                continue
            if lane.expected_seconds(sum(p.stop - p.start for p in parts)) < INLINE_SECONDS:
                self._run_here(lane, parts)
                # Others come first: whatever is left waits for the loop's next turn.
                self._schedule(loop)
                break
            self._run_there(lane, parts, loop)

    def _next(self) -> tuple[Lane, list[Part]]:
        if self._alone:
            lane, part = self._alone.popleft()
            return lane, [] if part.job.done.done() else [part]
        lane = self._turn.popleft()
        parts = lane.cut(self._chunk_rows)
        if lane.waiting:
            self._turn.append(lane)
        now = time.perf_counter()
        for part in parts:
            if part.start == 0:
                lane.watch.waited(now - part.job.admitted)
        return lane, parts

    def _run_here(self, lane: Lane, parts: list[Part]) -> None:
        run: Future[Outcome] = Future()
        self._idle -= 1
        try:
            run.set_result(_execute(lane.run, parts))
        except Exception as error:  # as a worker thread does: the error is the requests' own
            run.set_exception(error)
        self._finish(lane, parts, run)

    def _run_there(self, lane: Lane, parts: list[Part], loop: asyncio.AbstractEventLoop) -> None:
        self._idle -= 1
        run = loop.run_in_executor(self._pool, _execute, lane.run, parts)

        def finish(done: asyncio.Future[Outcome]) -> None:
            self._finish(lane, parts, done)
            self._dispatch(loop)

        run.add_done_callback(finish)

    def _finish(
        self, lane: Lane, parts: list[Part], run: asyncio.Future[Outcome] | Future[Outcome]
    ) -> None:
        self._idle += 1
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        if error is None:
            _deliver(lane, parts, *run.result())
        elif len(parts) == 1:
            parts[0].job.fail(error)
        else:  # somebody's rows broke the run: each again, alone, so that only they fail
            self._alone.extend((lane, part) for part in parts)


def _execute(run: Run, parts: Sequence[Part]) -> Outcome:
    started = time.perf_counter()
    taken = [part.job.take(part.start, part.stop) for part in parts]
    arrays = run(taken[0] if len(taken) == 1 else np.concatenate(taken))
    return arrays, time.perf_counter() - started


def _deliver(lane: Lane, parts: list[Part], arrays: Arrays, seconds: float) -> None:
    offset = 0
    for part in parts:
        rows = part.stop - part.start
        part.job.deliver(part, tuple(array[offset : offset + rows] for array in arrays))
        offset += rows
    lane.ran(offset, len(parts), seconds)
