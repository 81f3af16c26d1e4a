"""Headers as they come, and the one by which a client bounds the time of its request."""

from __future__ import annotations

import math

from starlette.types import Scope

from service.errors import invalid

# As Ray Serve calls it too.
HEADER = b"x-request-timeout-seconds"


# Where a request's scope has the first value of each of its headers.
_BY_NAME = "logdet.headers"


def allowed_seconds(scope: Scope) -> float | None:
    """The time that a client gives its request, where it says so.

    Raises:
        ServiceError: ``invalid_input`` if it is no time.
    """
    text = header(scope, HEADER)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds < math.inf:
        raise invalid(f"expected {HEADER.decode()} as a number of seconds, got {text[:32]!r}")
    return seconds


def header(scope: Scope, wanted: bytes) -> bytes | None:
    """The first value of a header."""
    by_name: dict[bytes, bytes] | None = scope.get(_BY_NAME)
    if by_name is None:
        by_name = scope[_BY_NAME] = dict(reversed(scope["headers"]))
    return by_name.get(wanted)
