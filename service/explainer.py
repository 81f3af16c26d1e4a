"""Explanations of a served flow: their steps, run in the lanes of its batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np

from service.deadline import seconds_left, within
from service.errors import ErrorKind, ServiceError
from service.jobs import Arrays
from service.lanes import Lane
from service.model import Model
from service.nearest import RUNS, Nearest, nearest
from service.reasons import (
    Method,
    Reasons,
    Rows,
    check_nearest,
    check_rows,
    chosen,
    explain,
)
from service.results import Evaluated, Floats, Scored
from service.ways import Ask, Steps, Way
from service.work import Work

P = ParamSpec("P")
T = TypeVar("T")
# Numbers from which what is made of rows leaves the event loop: it takes about 0.1 µs of each.
THREAD_CELLS = 2**14


class Wanted(NamedTuple):
    """What is to be told of scored rows.

    Attributes:
        method: By which each feature's contribution is found; None where none is wanted.
        nearest: Whether the nearest row that is no anomaly is wanted.
    """

    method: Method | None = None
    nearest: bool = False


NOTHING = Wanted()


class Explainer:
    """Explains the rows of one flow.

    Args:
        model: The flow.
        work: Where it runs.
        lanes: In which rows are run in each way.
    """

    def __init__(self, model: Model, work: Work, lanes: Mapping[Way, Lane]) -> None:
        self._model, self._work, self._lanes = model, work, lanes
        self._width = len(model.manifest.features) + len(model.conditioning.names)

    def wanted(self, explain: bool | str, nearest: bool, rows: int) -> Wanted:
        """What a caller asks for; before any run.

        Args:
            explain: True for the best method that the model has, or the name of one.
            nearest: Whether the nearest row that is no anomaly is wanted.
            rows: How many there are.

        Raises:
            ServiceError: If the model has not got it, or not for so many rows.
        """
        manifest = self._model.manifest
        if nearest:
            check_nearest(manifest, "'nearest'")
        if not explain:
            return Wanted(None, nearest)
        named = None if explain is True else explain
        method = chosen(manifest, named, "'explain' to be true, false or")
        check_rows(self._model, rows, method, self._work.config.limit_rows)
        return Wanted(method, nearest)

    async def told(
        self,
        wanted: Wanted,
        x: Floats,
        context: Floats | None,
        evaluated: Evaluated,
        scored: Scored,
    ) -> tuple[Reasons | None, Nearest | None]:
        """What is wanted, of rows and their score.

        Raises:
            ServiceError: ``too_large`` if more are anomalies than ``nearest`` may run.
        """
        model, found, near, count = self._model, None, None, len(x)
        decision = scored.decision
        allowed = min(seconds_left(), self._work.config.request_timeout_s)
        with self._work.in_flight():
            async with within(allowed):
                if wanted.nearest:
                    self._check_anomalies(int(np.count_nonzero(decision.is_anomaly)))
                rows = await self._off(count, _rows, model, x, context, evaluated)
                if wanted.method is not None:
                    found = await self._run(explain(model, rows, wanted.method), count)
                if wanted.nearest:
                    steps = nearest(model, rows, decision.threshold, decision.is_anomaly)
                    near = await self._run(steps, count)
        return found, near

    def _check_anomalies(self, anomalies: int) -> None:
        limit, name = self._work.config.limit_rows, self._model.manifest.name
        if anomalies * RUNS > limit:
            raise ServiceError(
                ErrorKind.TOO_LARGE,
                f"expected at most {limit // RUNS} anomalies a request with 'nearest', which "
                f"decodes every one {RUNS} times, got {anomalies} of {name}; for more, use the "
                f"command 'logdet score {name} FILE -o OUT --nearest' or several requests",
            )

    async def _off(self, rows: int, make: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What is made of so many rows; in a thread where others would wait for it."""
        if rows * self._width < THREAD_CELLS:
            return make(*given, **named)
        return await asyncio.to_thread(make, *given, **named)

    async def _run(self, steps: Steps[T], rows: int) -> T:
        memory = self._width * np.dtype(np.float64).itemsize
        out: Arrays | None = None
        while True:
            ask = await self._off(rows, _next, steps, out)
            if isinstance(ask, _End):
                value: T = ask.value
                return value
            out = await self._work.run(self._lanes[ask.way], ask.rows, memory, ask.take)


class _End(NamedTuple, Generic[T]):
    """What steps end with."""

    value: T


def _next(steps: Steps[T], out: Arrays | None) -> Ask | _End[T]:
    """What is to be run next, given what was run last, if anything."""
    try:
        return next(steps) if out is None else steps.send(out)
    except StopIteration as end:
        return _End(end.value)


def _rows(model: Model, x: Floats, context: Floats | None, evaluated: Evaluated) -> Rows:
    given = model.conditioning.spread(context, len(x))
    scores = evaluated.log_prob, evaluated.z, evaluated.status
    return Rows(np.asarray(x, np.float64), given, *scores)
