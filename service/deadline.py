"""The time that a caller gives a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.errors import ErrorKind, ServiceError


@asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """Cancel what is inside after so many seconds; None is no limit of the caller's own.

    Raises:
        ServiceError: ``deadline``.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise ServiceError(
            ErrorKind.DEADLINE, f"no answer within the {seconds:g} s that the request allows"
        ) from error
