"""Where the work of all models of a replica is done: in runs, within a time, counted."""

from __future__ import annotations

import asyncio

import numpy as np

from service.batcher import Batcher
from service.checker import Checker
from service.config import ServiceConfig
from service.deadline import seconds_left
from service.errors import ErrorKind, ServiceError
from service.execution import Execute, execute
from service.intake import Intake
from service.jobs import Arrays, Take
from service.lanes import Lane
from service.metrics import Metrics
from service.rows import check_count


class InFlight:
    """Counts those who are inside."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *error: object) -> None:
        self.count -= 1


class Work:
    """The batcher of a replica with its limits.

    Args:
        config: Settings.
        metrics: Of the replica.
        execute: See :class:`Batcher`.

    Attributes:
        intake: Room for what requests send.
        checker: Checks a few of the answers afterwards.
    """

    def __init__(
        self, config: ServiceConfig, metrics: Metrics, execute: Execute = execute
    ) -> None:
        self.config = config
        self._cancelled = metrics.cancelled
        self._batcher = Batcher(
            config.sessions,
            config.chunk_rows,
            config.queue_rows,
            config.queue_bytes,
            config.request_timeout_s,
            execute,
        )
        self.checker = Checker(config.self_check_every, metrics)
        self._inflight = InFlight()
        self.intake = Intake(config.intake_bytes)
        metrics.intake_bytes.set_function(lambda: float(self.intake.used_bytes))
        metrics.queue_rows.set_function(lambda: float(self._batcher.rows))
        metrics.inflight.set_function(lambda: float(self._inflight.count))

    def check_count(self, count: int, model: str, operation: str) -> None:
        """Refuse more rows than one request may have.

        Raises:
            ServiceError: ``too_large``.
        """
        check_count(count, self.config.limit_rows, model, operation)

    async def run(self, lane: Lane, rows: int, row_bytes: int, take: Take) -> Arrays:
        """Run the rows of one request; see :meth:`Batcher.submit`.

        No rows are answered without the batcher, by what one row would get, without that row.

        Raises:
            ServiceError: ``overloaded`` where the queue is full or too long for the time that the
                request has, or ``deadline`` after that time.
        """
        if not rows:
            width = take(0, 0).shape[1]
            return tuple(array[:0] for array in lane.run(np.zeros((1, width))))
        try:
            left_s = min(seconds_left(), self.config.request_timeout_s)
            return await self._batcher.submit(lane, rows, row_bytes, take, left_s)
        except TimeoutError as error:
            raise ServiceError(
                ErrorKind.DEADLINE,
                f"no answer within {self.config.request_timeout_s:g} s; send fewer rows at once",
            ) from error
        except asyncio.CancelledError:
            self._cancelled.inc()
            raise

    @property
    def wait_s(self) -> float:
        """See :attr:`Batcher.wait_s`."""
        return self._batcher.wait_s

    def in_flight(self) -> InFlight:
        """While an operation is at work; a stop waits for it."""
        return self._inflight

    async def drain(self) -> None:
        """Wait for what is in flight (bounded), and end the workers."""
        deadline = asyncio.get_running_loop().time() + self.config.drain_timeout_s
        while self._inflight.count and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        self._batcher.close()
        self.checker.close()
