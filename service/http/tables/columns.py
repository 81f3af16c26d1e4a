"""The columns of an answer as a table has them, under the names that the command line writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from service.errors import ErrorKind, ServiceError
from service.operations.call import Answer
from service.operations.spec import ROWS, Operation, Output
from service.served_kinds import AnyServed

STATUS = "status"
# Of an answer that is a table: what holds for all rows, as JSON.
HEADER = "x-logdet-answer"
Layout = Mapping[str, tuple[str, ...]]
Columns = Mapping[str, NDArray[Any]]

_PREFIXES = {
    "feature_log_prob": "log_prob_",
    "mean": "mean_",
    "scale": "scale_",
    "contribution": "contribution_",
    "nearest": "nearest_",
    "change": "change_",
}


def layout(served: AnyServed, operation: Operation) -> Layout:
    """Names of the columns that each output of an operation becomes.

    Raises:
        ServiceError: If a feature of the model has the name of another column.
    """
    named = {output.name: _names(served, operation, output) for output in operation.outputs}
    names = [name for columns in named.values() for name in columns]
    taken = next((name for name in (*names, STATUS) if [*names, STATUS].count(name) > 1), None)
    if taken is not None:
        raise ServiceError(
            ErrorKind.UNSUPPORTED,
            f"{operation.name} of {served.name} has two columns named {taken!r}, which no table "
            "can have; accept application/json",
        )
    return named


def flat(named: Layout, answer: Answer) -> dict[str, NDArray[Any]]:
    """Columns of shape ``(rows,)`` by name, without the status."""
    columns: dict[str, NDArray[Any]] = {}
    for output, values in answer.columns.items():
        matrix = values[:, None] if values.ndim == 1 else values
        columns |= zip(named[output], matrix.T, strict=True)
    return columns


def _names(served: AnyServed, operation: Operation, output: Output) -> tuple[str, ...]:
    if output.width == "one":
        return (output.name,)
    names = served.columns if output.width == "features" else served.latents
    # Rows that came back are told from those that went in.
    is_returned = output.name == ROWS and operation.takes == "rows"
    prefix = "reconstructed_" if is_returned else _PREFIXES.get(output.name, "")
    return tuple(prefix + name for name in names)
