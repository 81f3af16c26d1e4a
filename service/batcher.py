"""Requests into runs: work-conserving, row-aware, fair.

A worker that is idle takes at once what waits; while all are busy, requests of one lane (a way in
which a model runs) collect and go together. A run is at most ``chunk_rows`` long, or shorter where
its lane says so. Requests that need several runs share those of their own evenly and take turns
with the others, which wait for no more than one of them. Nobody waits for company, but those who
come one after the other while the loop has much to do (:mod:`service.gathering`). Runs happen
in worker threads, but those known to be shorter than the way there and back on the event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from service.arrival import COMES_ALONE
from service.errors import ErrorKind, ServiceError
from service.execution import Execute, Outcome, execute
from service.gathering import BUSY, MOST_TICKS, TICK_S, Busy
from service.jobs import Arrays, Job, Part, Take
from service.lanes import Lane, Line
from service.overdue import Overdue
from service.tracing.current import CURRENT
from service.turns import Turns

REQUEST_OVERHEAD_BYTES = 16 * 1024  # what a waiting request costs beside its rows
# A run that is shorter does not leave the event loop. That of the only request there is may be
# longer: nobody waits for it but its own client, to whom the way to a thread and back costs more.
INLINE_SECONDS, INLINE_ALONE_SECONDS = 0.001, 0.003
GATHERING_TURNS = 2  # of the event loop, while each brings another request
MAX_RETRY_AFTER_S = 60


class Batcher:
    """Shares a fixed number of worker threads among lanes, in turn.

    Args:
        workers: Threads; one run each at a time.
        chunk_rows: Most rows of one run.
        queue_rows: Rows admitted and not answered over which requests are refused.
        queue_bytes: The same in bytes.
        timeout_s: Seconds after which a request is given up.
        execute: Runs parts of jobs; that of :mod:`service.execution`, or what does more beside it.
    """

    def __init__(
        self,
        workers: int,
        chunk_rows: int,
        queue_rows: int,
        queue_bytes: int,
        timeout_s: float,
        execute: Execute = execute,
    ) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="run")
        self._workers = self._idle = workers
        self._chunk_rows = chunk_rows
        self._limits = (queue_rows, queue_bytes)
        self._execute = execute
        self._open = Overdue(timeout_s)
        self._turns = Turns()
        self._alone: deque[tuple[Lane, Part]] = deque()
        self._scheduled = self._is_gathering = False
        self._turns_waited = 0
        self._busy = Busy()
        self._backlog_s = 0.0
        self.rows = 0
        self.bytes = 0

    async def submit(
        self, lane: Lane, rows: int, row_bytes: int, take: Take, left_s: float = math.inf
    ) -> Arrays:
        """Run the rows of one request.

        Args:
            lane: Where they run.
            rows: How many, at least one.
            row_bytes: Memory that one row takes while it waits.
            take: Gives rows ``start`` to ``stop``; called in a worker.
            left_s: Seconds in which the request is of use.

        Raises:
            ServiceError: ``overloaded`` if the queue is full, or too long for the time left.
            TimeoutError: If it took too long.
        """
        loop = asyncio.get_running_loop()
        row_seconds = lane.pace.row_seconds()
        comes_alone = COMES_ALONE.get()
        job = Job(rows, take, loop.create_future(), time.perf_counter(), row_seconds, comes_alone)
        job.trace = CURRENT.get()
        cost = rows * row_bytes + REQUEST_OVERHEAD_BYTES
        self._admit(job, cost, left_s)
        self._open.add(job, loop)
        self._enqueue(lane.quick if rows <= lane.most(self._chunk_rows) else lane.bulk, job, loop)
        try:
            return await job.done
        finally:
            self._open.remove(job)
            self.rows -= rows
            self.bytes -= cost
            self._backlog_s -= rows * row_seconds

    @property
    def wait_s(self) -> float:
        """Seconds that what is admitted will take, as far as that is known."""
        return self._backlog_s / self._workers

    def close(self) -> None:
        """End the worker threads once their runs are done."""
        self._open.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _admit(self, job: Job, cost: int, left_s: float) -> None:
        # An empty queue takes any request: the limits on requests are others' business.
        too_many = self.rows + job.rows > self._limits[0] or self.bytes + cost > self._limits[1]
        if self.rows and too_many:
            raise _overloaded(
                f"{self.rows} rows are waiting, which is as many as fit", self._seconds(math.inf)
            )
        alone = job.seconds_left
        if self.rows and self._backlog_s + alone > left_s * self._workers:
            needed = self._seconds(alone) + alone / self._workers
            if needed > left_s:
                raise _overloaded(
                    f"an answer would take about {needed:.2g} s beside what is waiting, "
                    f"and {left_s:.2g} s are left for it",
                    needed,
                )
        self.rows += job.rows
        self.bytes += cost
        self._backlog_s += alone

    def _seconds(self, most: float) -> float:
        """Until each request in front has had as many seconds as that, if it needs them."""
        return sum(min(job.seconds_left, most) for job in self._open.jobs()) / self._workers

    def _enqueue(self, line: Line, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        if not (line.waiting or line.gathering.is_held):
            self._turns.add(line)
        line.waiting.append(job)
        if line.gathering.is_complete(len(line.waiting)):
            self._release(line)
        # At the end of this turn of the loop, so that requests read in one turn go together, and
        # those of the next one if there are any.
        self._is_gathering = True
        if self._idle:
            self._schedule(loop)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._dispatch, loop)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        if self._is_gathering and self._turns_waited < GATHERING_TURNS:
            self._is_gathering = False
            self._turns_waited += 1
            self._schedule(loop)
            return
        self._turns_waited = 0
        while self._idle and (self._alone or self._turns):
            lane, parts = self._next()
            if not parts:
                continue
            if lane.pace.run_seconds(_rows(parts)) < self._inline_seconds(parts):
                self._run_here(lane, parts)
                # Others come first: whatever is left waits for the loop's next turn.
                if self._alone or self._turns:
                    self._schedule(loop)
                break
            self._run_there(lane, parts, loop)

    def _inline_seconds(self, parts: list[Part]) -> float:
        if parts[0].job.comes_alone:
            return 0.0
        is_alone = len(self._open) == 1 and _rows(parts) == parts[0].job.rows
        return INLINE_ALONE_SECONDS if is_alone else INLINE_SECONDS

    def _next(self) -> tuple[Lane, list[Part]]:
        if self._alone:
            lane, part = self._alone.popleft()
            return lane, [] if part.job.done.done() else [part]
        line = self._turns.next()
        lane, parts = line.lane, line.cut(self._chunk_rows)
        if line.waiting:
            self._turns.add(line)
        now = time.perf_counter()
        for part in parts:
            if part.start == 0:
                lane.watch.waited(now - part.job.admitted)
        return lane, parts

    def _run_here(self, lane: Lane, parts: list[Part]) -> None:
        try:
            outcome = self._execute(lane.run, parts)
        except Exception as error:  # as in a worker thread: the error is the requests' own
            self._fail(lane, parts, error)
        else:
            _deliver(lane, parts, *outcome)

    def _run_there(self, lane: Lane, parts: list[Part], loop: asyncio.AbstractEventLoop) -> None:
        self._idle -= 1
        held = self._hold(lane, parts)
        run = loop.run_in_executor(self._pool, self._execute, lane.run, parts)

        def finish(done: asyncio.Future[Outcome]) -> None:
            self._idle += 1
            if held is not None:
                self._gather(held, len(parts), loop)
            error = asyncio.CancelledError() if done.cancelled() else done.exception()
            if error is None:
                _deliver(lane, parts, *done.result())
            else:
                self._fail(lane, parts, error)
            self._dispatch(loop)

        run.add_done_callback(finish)

    def _hold(self, lane: Lane, parts: list[Part]) -> Line | None:
        """The line of a short run, if those that come meanwhile are to share the next one."""
        job, line = parts[0].job, lane.quick
        is_short = (
            _rows(parts[:1]) == job.rows
            and lane.pace.run_seconds(job.rows) < INLINE_SECONDS
            and lane.pace.run_seconds(_rows(parts)) < INLINE_ALONE_SECONDS
        )
        if not (job.comes_alone and is_short) or line.waiting or line.gathering.is_held:
            return None
        line.gathering.is_held = True
        return line

    def _gather(self, line: Line, answered: int, loop: asyncio.AbstractEventLoop) -> None:
        """Hold a line on after a run, until those whom it answered have asked again."""
        expected = line.gathering.expected = answered + len(line.waiting)
        if expected == 1 or self._busy.share() < BUSY:
            self._release(line)
        else:
            self._wait(line, MOST_TICKS, loop)

    def _wait(self, line: Line, ticks: int, loop: asyncio.AbstractEventLoop) -> None:
        waiting = len(line.waiting)

        def look() -> None:
            if ticks and (len(line.waiting) > waiting or self._busy.share() > BUSY):
                self._wait(line, ticks - 1, loop)
            else:
                self._release(line)
                self._dispatch(loop)

        line.gathering.timer = loop.call_later(TICK_S, look)

    def _release(self, line: Line) -> None:
        line.gathering.free()
        if line.waiting:
            self._turns.add(line)

    def _fail(self, lane: Lane, parts: list[Part], error: BaseException) -> None:
        if len(parts) == 1:
            parts[0].job.fail(error)
        else:  # somebody's rows broke the run: each again, alone, so that only they fail
            self._alone.extend((lane, part) for part in parts)


def _deliver(lane: Lane, parts: list[Part], arrays: Arrays, seconds: float) -> None:
    if len(parts) == 1:
        part = parts[0]
        part.job.deliver(part, arrays)
        lane.ran(part.stop - part.start, 1, seconds)
        return
    offset = 0
    for part in parts:
        rows = part.stop - part.start
        part.job.deliver(part, tuple(array[offset : offset + rows] for array in arrays))
        offset += rows
    lane.ran(offset, len(parts), seconds)


def _rows(parts: Sequence[Part]) -> int:
    return sum([part.stop - part.start for part in parts])


def _overloaded(why: str, seconds: float) -> ServiceError:
    wait = min(max(1, math.ceil(seconds)), MAX_RETRY_AFTER_S)
    return ServiceError(ErrorKind.OVERLOADED, f"{why}; try again in {wait} s", retry_after_s=wait)
