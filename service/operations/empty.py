"""The answer about no rows, which no run is needed for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exported.manifest import Manifest
from service.operations.call import Answer, Call
from service.operations.spec import Operation
from service.served_kinds import AnyServed

_TYPES = {"FP32": np.float32, "FP64": np.float64, "BOOL": np.bool_}


async def run(operation: Operation, served: AnyServed, call: Call) -> Answer:
    """The answer to a call, which may have no rows.

    Raises:
        ServiceError: If it is refused.
    """
    if call.rows is not None and not len(call.rows):
        return empty(operation, served.model.manifest)
    return await operation.ask(served, call)


def empty(operation: Operation, manifest: Manifest) -> Answer:
    """Every column of an operation without a row in it; nothing is told of no rows."""
    columns: dict[str, NDArray[Any]] = {}
    for output in operation.outputs:
        values = output.values(manifest)
        shape = (0,) if values is None else (0, values)
        columns[output.name] = np.empty(shape, _TYPES[output.type_of(manifest)])
    return Answer(columns, np.empty(0, np.uint8))
