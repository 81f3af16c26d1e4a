"""The metrics page of all replicas, whichever of them is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from service.metrics import merge

TIMEOUT_S = 2.0
MAX_AGE_S = 1.0


class Scrape:
    """Collects at most once in :data:`MAX_AGE_S`, however often it is asked.

    Args:
        own: This replica's page.
        everyone: The pages of all replicas, this one included.
        failures: What ``everyone`` raises when a replica does not answer.
    """

    def __init__(
        self,
        own: Callable[[], str],
        everyone: Callable[[], Awaitable[Sequence[str]]],
        *failures: type[Exception],
    ) -> None:
        self._own = own
        self._everyone = everyone
        self._failures: tuple[type[Exception], ...] = (TimeoutError, *failures)
        self._collecting = asyncio.Lock()
        self._page = ""
        self._collected = -MAX_AGE_S

    async def page(self) -> str:
        """All series, and whether any replica's are missing."""
        async with self._collecting:
            if time.monotonic() - self._collected >= MAX_AGE_S:
                self._page = await self._collect()
                self._collected = time.monotonic()
            return self._page

    async def _collect(self) -> str:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                pages = await self._everyone()
        except self._failures:
            return merge([self._own(), _incomplete(1)])
        return merge([*pages, _incomplete(0)])


def _incomplete(value: int) -> str:
    return (
        "# HELP logdet_scrape_incomplete 1 if only the replica that was asked is on this page.\n"
        "# TYPE logdet_scrape_incomplete gauge\n"
        f"logdet_scrape_incomplete {value}\n"
    )
