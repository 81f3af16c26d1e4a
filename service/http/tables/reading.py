"""Tables into calls: columns matched by name, settings beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from service.errors import invalid
from service.http import media
from service.http.tables.expected import Expected, listed
from service.operations.call import Call
from service.operations.spec import Operation
from service.served_flow import ServedFlow
from service.served_kinds import AnyServed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_call(
    served: AnyServed,
    operation: Operation,
    kind: str,
    body: bytes,
    settings: Mapping[str, object],
) -> Call:
    """What a table and the query beside it ask.

    Args:
        served: The model.
        operation: Takes the rows or latents, with their context behind them.
        kind: Media type of the body.
        body: The table; empty where rows are drawn for no context.
        settings: From the query.

    Raises:
        ServiceError: If the table is lacking, too large or not as expected.
    """
    own = {"rows": served.columns, "latents": served.latents, "count": ()}[operation.takes]
    given = served.model.conditioning.names if isinstance(served, ServedFlow) else ()
    if not body and operation.takes != "count":
        raise invalid(f"expected a table of {listed(own)} as body, got an empty body")

    def check_count(rows: int) -> None:
        served.check_count(rows, operation.name)

    expected = Expected(own + given, f"{operation.name} of {served.name}", check_count)
    values = _read(kind, body, expected) if body else None
    rows = None if values is None or not own else values[:, : len(own)]
    context = None if values is None or not given else values[:, len(own) :]
    if isinstance(served, ServedFlow) and rows is None:
        _check_context(served, context, settings.get("n"))
    return Call(rows, context, settings)


def _read(kind: str, body: bytes, expected: Expected) -> NDArray[np.float64]:
    # Arrow takes longer to import than the service to start, and most services never need it.
    from service.http.tables import arrow_in, csv_in

    read = csv_in.read if kind == media.CSV else arrow_in.read
    return read(body, expected)


def _check_context(served: ServedFlow, context: NDArray[np.float64] | None, count: object) -> None:
    if type(count) is int:
        served.model.conditioning.check(None if context is None else len(context), count)
