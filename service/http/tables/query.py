"""Settings in the query of an address, where the body is a table or there is none."""

from __future__ import annotations

import re

from starlette.datastructures import QueryParams

from service.errors import invalid
from service.operations.spec import Operation

_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")


def settings(query: QueryParams, operation: Operation) -> dict[str, object]:
    """The settings of an operation by name, numbers where they are written as JSON writes them.

    Raises:
        ServiceError: ``invalid_input`` if the operation has no such setting, or one comes twice.
    """
    found: dict[str, object] = {}
    for name, text in query.multi_items():
        if name not in operation.settings:
            known = ", ".join(sorted(operation.settings)) or "none"
            raise invalid(f"unknown query parameter {name[:64]!r}; known here: {known}")
        if name in found:
            raise invalid(f"expected the query parameter {name!r} once, got it twice")
        found[name] = _value(text)
    return found


def refuse(query: QueryParams) -> None:
    """Refuse any query beside a JSON body.

    Raises:
        ServiceError: ``invalid_input``.
    """
    if query:
        name = next(iter(query))
        raise invalid(
            f"expected settings as fields of the JSON body, got the query parameter {name[:64]!r}"
        )


def _value(text: str) -> int | float | str:
    """A number, else the text, which whoever reads the setting refuses by its name."""
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
