"""The time that a caller gives a request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

from service.errors import ErrorKind, ServiceError

# Of the time of a request that says so in what it has begun to answer: a tenth of it, at most.
LAST_WORDS_S = 0.1


@dataclass(frozen=True, slots=True)
class _Limit:
    """Seconds that a request may take, and when they are over on the event loop's clock."""

    seconds: float
    at: float


_LIMIT: ContextVar[_Limit | None] = ContextVar("limit", default=None)
_UNLIMITED = nullcontext()


def seconds_left() -> float:
    """Until the time is over that the caller has given; infinite where it has given none."""
    limit = _LIMIT.get()
    return math.inf if limit is None else limit.at - asyncio.get_running_loop().time()


def within(seconds: float | None) -> AbstractAsyncContextManager[None]:
    """Cancel what is inside after so many seconds; None is no limit of the caller's own.

    Raises:
        ServiceError: ``deadline``.
    """
    return _UNLIMITED if seconds is None else _within(seconds)


@asynccontextmanager
async def just_within() -> AsyncIterator[None]:
    """Cancel what is inside a little earlier than :func:`within` around it does, if there is one.

    What is left is for telling so in an answer that has begun.

    Raises:
        ServiceError: ``deadline``.
    """
    limit = _LIMIT.get()
    if limit is None:
        yield
        return
    async with _until(limit.at - min(LAST_WORDS_S, limit.seconds / 10), limit):
        yield


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    limit = _Limit(seconds, asyncio.get_running_loop().time() + seconds)
    told = _LIMIT.set(limit)
    try:
        async with _until(limit.at, limit):
            yield
    finally:
        _LIMIT.reset(told)


@asynccontextmanager
async def _until(at: float, limit: _Limit) -> AsyncIterator[None]:
    timeout = asyncio.timeout_at(at)
    try:
        async with timeout:
            yield
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise ServiceError(
            ErrorKind.DEADLINE,
            f"no answer within the {limit.seconds:g} s that the request allows",
        ) from error
