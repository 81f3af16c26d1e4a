"""JSON bodies into calls, and answers into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.http.parsing import required
from service.operations.call import Answer, Call
from service.operations.spec import Operation
from service.results import STATUSES, Codes
from service.rows import table
from service.served_flow import ServedFlow
from service.served_kinds import AnyServed

Body = dict[str, Any]

_STATUS_NAMES = np.array(STATUSES, dtype=object)
# Where a body holds what an operation takes.
_FIELDS = {"rows": "rows", "latents": "z"}


def read_call(served: AnyServed, operation: Operation, body: Body) -> Call:
    """What a body asks.

    Raises:
        ServiceError: If its arrays are lacking, too large or not as expected.
    """
    field = _FIELDS.get(operation.takes)
    settings = {name: value for name, value in body.items() if name not in (field, "context")}
    if field is None:
        rows, count = None, settings.get("n")
    else:
        rows = _matrix(served, operation, field, required(body, field))
        count = len(rows)
    context = body.get("context")
    if isinstance(served, ServedFlow):
        context = read_context(served, operation.name, context, count)
    return Call(rows, context, settings)


def read_context(
    served: ServedFlow, operation: str, value: object, rows: object
) -> NDArray[np.float64] | None:
    """The context of a body; None where the model takes none.

    Args:
        served: The model.
        operation: Its name.
        value: Of the field; None if it was left out.
        rows: As many rows as the context is for; anything else is refused by others.

    Raises:
        ServiceError: If the context is lacking, not wanted or not as expected.
    """
    conditioning = served.model.conditioning
    check_count(served, value, operation)
    count = len(value) if isinstance(value, list) else 1
    if type(rows) is int:
        conditioning.check(None if value is None else count, rows)
    return None if value is None else table(value, conditioning.names, "context")


def written(served: AnyServed, answer: Answer) -> Mapping[str, object]:
    """The object that answers a body."""
    columns = {name: _plain(column) for name, column in answer.columns.items()}
    return {**served.told(), **answer.told, **columns, "status": names(answer.status)}


def check_count(served: AnyServed, value: object, operation: str) -> None:
    """Refuse too many rows before the work of turning them into numbers.

    Raises:
        ServiceError: ``too_large``.
    """
    if isinstance(value, list):
        served.check_count(len(value), operation)


def names(status: Codes) -> list[str]:
    """Statuses as words."""
    words: list[str] = _STATUS_NAMES[status].tolist()
    return words


def _matrix(
    served: AnyServed, operation: Operation, field: str, value: object
) -> NDArray[np.float64]:
    check_count(served, value, operation.name)
    columns = served.columns if field == "rows" else served.latents
    return table(value, columns, field)


def _plain(column: NDArray[Any]) -> object:
    """As the JSON writer takes it; what is masked becomes null."""
    return column.tolist() if isinstance(column, np.ma.MaskedArray) else column
