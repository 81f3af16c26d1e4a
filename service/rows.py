"""Parsed JSON rows into numbers, with the culprit named where that is not possible.

The fast path looks only at the set of types and widths; the slow one runs only when something is
wrong, to say where.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from service.errors import ErrorKind, ServiceError, invalid

_NUMERIC = frozenset({int, float, type(None)})
_SHOWN_NAMES = 10
_COMMANDS = {
    "log_prob": "logdet score {} FILE",
    "score": "logdet score {} FILE",
    "sample": "logdet sample {} -n N",
    "expectation": "logdet expect {} -n N",
}


def table(value: object, names: Sequence[str], field: str = "rows") -> NDArray[np.float64]:
    """A matrix of shape ``(rows, len(names))``; null becomes NaN.

    Args:
        value: List of rows, each a list of numbers in order or an object by name.
        names: Column names, in order.
        field: What the request calls this list.

    Raises:
        ServiceError: Naming the row and column of the first thing that is not as expected.
    """
    if not isinstance(value, list) or not value:
        got = "an empty list" if value == [] else _kind(value)
        raise invalid(f"expected '{field}' to be a list with at least one row, got {got}")
    kinds = set(map(type, value))
    if kinds == {dict}:
        value = _ordered(value, names, field)
    elif kinds != {list}:
        place, row = next(
            (i, r)
            for i, r in enumerate(value)
            if type(r) is not type(value[0]) or not isinstance(r, (list, dict))
        )
        raise invalid(
            f"expected every one of '{field}' to be a list of {len(names)} numbers, or every one "
            f"an object by feature name, got {_kind(row)} at row {place}"
        )
    if set(map(len, value)) != {len(names)}:
        raise _wrong_width(value, names, field)
    if not set(map(type, chain.from_iterable(value))) <= _NUMERIC:
        raise _wrong_value(value, names, field)
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:
        raise _wrong_value(value, names, field) from None


def check_count(count: int, limit: int, model: str, operation: str) -> None:
    """Refuse more rows than one request may have.

    Raises:
        ServiceError: With the command that has no such limit, if the operation has one.
    """
    if count > limit:
        command = _COMMANDS.get(operation)
        instead = f"the command '{command.format(model)}' or " if command else ""
        raise ServiceError(
            ErrorKind.TOO_LARGE,
            f"expected at most {limit} rows a request, got {count}; for more, use {instead}"
            "several requests",
        )


def listed(names: Sequence[str]) -> str:
    """The names for a message, the first of them where they are many."""
    shown = ", ".join(names[:_SHOWN_NAMES])
    return shown if len(names) <= _SHOWN_NAMES else f"{shown}, ... ({len(names)} features)"


def _ordered(
    value: list[dict[str, object]], names: Sequence[str], field: str
) -> list[list[object]]:
    width = len(names)
    try:
        rows = [[row[name] for name in names] for row in value]
    except KeyError:
        rows = []
    if not rows or set(map(len, value)) != {width}:
        raise _wrong_names(value, names, field)
    return rows


def _wrong_names(value: list[dict[str, object]], names: Sequence[str], field: str) -> ServiceError:
    known = set(names)
    for place, row in enumerate(value):
        unknown = [key for key in row if key not in known]
        if unknown:
            return invalid(
                f"row {place} of '{field}' has the unknown feature {_short(unknown[0])}; "
                f"expected {listed(names)}"
            )
        missing = [name for name in names if name not in row]
        if missing:
            return invalid(
                f"row {place} of '{field}' lacks the feature {missing[0]!r}; "
                f"expected {listed(names)} (null where a value is not known)"
            )
    return invalid(f"expected every one of '{field}' to name {listed(names)}")


def _wrong_width(value: list[list[object]], names: Sequence[str], field: str) -> ServiceError:
    place, got = next((i, len(row)) for i, row in enumerate(value) if len(row) != len(names))
    return invalid(
        f"expected {len(names)} values in every one of '{field}' ({listed(names)}), "
        f"got {got} at row {place}"
    )


def _wrong_value(value: list[list[object]], names: Sequence[str], field: str) -> ServiceError:
    place, column, got = next(
        (i, j, cell)
        for i, row in enumerate(value)
        for j, cell in enumerate(row)
        if type(cell) not in _NUMERIC or _is_huge(cell)
    )
    return invalid(
        f"expected a number or null at row {place}, column {names[column]!r} of '{field}', "
        f"got {_kind(got)}"
    )


def _is_huge(cell: object) -> bool:
    return type(cell) is int and abs(cell) > sys.float_info.max


def _short(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:64] + "...")


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the text {_short(value)}"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if _is_huge(value):
        return "a whole number too large for a double"
    names = {dict: "an object", list: "a list", type(None): "null", int: "a number"}
    return names.get(type(value), "a number")
