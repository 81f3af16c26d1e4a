"""The door of HTTP: which paths are open to everybody, and what the others must show."""

from __future__ import annotations

from starlette.types import Scope

from service.door import Door
from service.http.headers import header

# Probes tell nothing but whether the service is there; the page of the documentation is a package
# that anybody can have, and asks for a token itself.
PROBES = frozenset({"/healthz", "/v2/health/live", "/v2/health/ready"})
_PAGES = frozenset({"/", "/docs"})


def admit(door: Door, scope: Scope) -> None:
    """Let a request in, before anything of its body is read.

    Raises:
        ServiceError: ``unauthorized`` or ``rate_limited``.
    """
    if not door.is_guarded or is_open(scope["path"]):
        return
    shown = header(scope, b"authorization")
    door.admit(None if shown is None else shown.decode("latin-1"))


def is_open(path: str) -> bool:
    """Whether everybody may ask for a path."""
    return path in PROBES or path in _PAGES or path.startswith("/docs/")
