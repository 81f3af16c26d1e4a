"""The trace of the request that is being answered, where there is one."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.tracing.spans import Trace

CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)


def answered(rows: int) -> None:
    """Count rows that a model has answered for the request of this context."""
    trace = CURRENT.get()
    if trace is not None:
        trace.rows += rows
