"""How requests of a transport arrive: many in a turn of the event loop, or one after the other.

Of connections that are read directly, a turn of the loop brings whatever has arrived, and a short
run on the loop answers all of it. grpc hands over one call at a time; see
:mod:`service.gathering`.
"""

from __future__ import annotations

from contextvars import ContextVar

COMES_ALONE: ContextVar[bool] = ContextVar("comes_alone", default=False)
