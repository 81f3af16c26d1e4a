"""Which handler a request's method and path belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

Handler = Callable[[Request], Awaitable[Response]]
Found = tuple[Handler, Mapping[str, Any]]


class _Operation(StringConvertor):
    """The name of an operation; what is only looked at is none, so that POST is a 405 there."""

    regex = "(?!drift$)[^/]+"


register_url_convertor("operation", _Operation())
_REMEMBERED, _LONGEST = 1024, 256  # paths, and characters of one: clients choose them


class Routing:
    """Finds routes, and remembers what it has found: trying every pattern costs a small request.

    Args:
        routes: In the order in which they are tried.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._remembered = lru_cache(_REMEMBERED)(self._match)

    def find(self, scope: Scope) -> Found:
        """The handler of a request, and what its path says.

        Raises:
            HTTPException: 404 of a path that there is not, 405 of a method that it does not take.
        """
        method, path = scope["method"], scope["path"]
        return (self._remembered if len(path) < _LONGEST else self._match)(method, path)

    def _match(self, method: str, path: str) -> Found:
        scope = {"type": "http", "method": method, "path": path}
        allowed: set[str] = set()
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return found["endpoint"], found["path_params"]
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404)
