"""Tokens in the OpenAPI document."""

from __future__ import annotations

from service.http.door import is_open
from service.http.openapi.parts import OF_A_TOKEN, Json, refusals

_SCHEME = "token"


def guarded(document: Json) -> Json:
    """A document whose paths need a token, but those that are open to everybody."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if is_open(path):
                operation["security"] = []
            else:
                operation["responses"] |= refusals(*OF_A_TOKEN)
    schemes = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    document["components"]["securitySchemes"] = schemes
    return document | {"security": [{_SCHEME: []}]}
