"""``logdet.v1.Density``: the native operations, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.core import Core
from service.errors import ServiceError, invalid
from service.grpc.calls import NOBODYS, Counted, Rpc
from service.grpc.pool import Message, message
from service.grpc.tensors import as_doubles, doubles
from service.operations.call import RATES, Answer, Call
from service.operations.kinds import operation_of
from service.operations.scores import BY
from service.operations.spec import Operation
from service.rows import listed
from service.served_kinds import AnyServed

SERVICE = "logdet.v1.Density"
METHODS: Mapping[str, str] = {
    "LogProb": "log_prob",
    "Score": "score",
    "Encode": "encode",
    "Decode": "decode",
    "Sample": "sample",
}
_SETTINGS = ("steps", "depth", "seed", *RATES, BY, "temperature", "explain", "nearest")
_MATRICES = ("rows", "z", "mean", "scale", "contribution", "nearest", "change")
_VECTORS = ("log_prob", "score", "p_value", "log_det", "log_prob_nearest")


def _class(name: str) -> type[Message]:
    return message(f"logdet.v1.{name}")


@dataclass(frozen=True, slots=True)
class DensityService:
    """The methods of the service.

    Attributes:
        core: Knows the models.
    """

    core: Core

    def rpcs(self) -> Mapping[str, Rpc]:
        """Every method by its name."""
        methods = [Method(self.core, name) for name in METHODS]
        return {method.name: Rpc(method, method.counted) for method in methods}


@dataclass(frozen=True, slots=True)
class Method:
    """One method: a message to a call, its answer to a message."""

    core: Core
    name: str

    async def __call__(self, request: Message) -> Message:
        """Answer a request.

        Raises:
            ServiceError: If it is refused.
        """
        operation = METHODS[self.name]
        served = self.core.find(*_model(request), operation)
        spec = operation_of(served, operation)
        found = await spec.ask(served, _call(served, spec, request))
        response = _class(f"{self.name}Response")(model=_told(served))
        _write(response, found)
        return response

    def counted(self, request: Message) -> Counted:
        """What metrics call a request."""
        try:
            name, version = self.core.find(*_model(request)).metrics.key
        except ServiceError:  # the answer will say so
            return NOBODYS
        return name, version, METHODS[self.name]


def _model(request: Message) -> tuple[str, int | None]:
    return request.model, request.version or None


def _told(served: AnyServed) -> Message:
    manifest = served.model.manifest
    density = f"DENSITY_KIND_{manifest.density.upper()}"
    return _class("Model")(name=manifest.name, version=manifest.version, density=density)


def _call(served: AnyServed, spec: Operation, request: Message) -> Call:
    """What a request asks.

    Raises:
        ServiceError: ``invalid_input`` for what the model does not take, or not so.
    """
    given = {name for name in _SETTINGS if _has(request, name)}
    for name in sorted(given - set(spec.settings)):
        raise invalid(f"expected no {name!r}, as {spec.name} of {served.name} has no such choice")
    settings: dict[str, object] = {name: getattr(request, name) for name in given}
    if spec.takes == "count":
        rows = None
        settings["n"] = request.n
    elif spec.takes == "latents":
        rows = _matrix(served, spec.name, request, "z", served.latents)
    else:
        rows = _matrix(served, spec.name, request, "rows", served.columns)
    # What a context must be is the model's to say.
    context = _array(request.context, "context") if _has(request, "context") else None
    if context is not None and not spec.conditional:
        raise invalid(f"expected no 'context', as {spec.name} of {served.name} takes none")
    return Call(rows, context, settings)


def _fields(request: Message) -> Mapping[str, Any]:
    return request.DESCRIPTOR.fields_by_name  # type: ignore[no-any-return]


def _has(request: Message, field: str) -> bool:
    return field in _fields(request) and request.HasField(field)


def _matrix(
    served: AnyServed, operation: str, request: Message, field: str, names: tuple[str, ...]
) -> NDArray[np.float64]:
    given = getattr(request, field)
    served.check_count(given.rows, operation)
    if given.columns != len(names):
        raise invalid(
            f"expected {len(names)} columns in {field!r} ({listed(names)}), got {given.columns}"
        )
    return _array(given, field)


def _array(given: Message, field: str) -> NDArray[np.float64]:
    values = doubles(given, "values", field)
    if values.size != given.rows * given.columns:
        raise invalid(
            f"expected {given.rows} rows of {given.columns} values in {field!r}, "
            f"got {values.size} values"
        )
    return values.reshape(given.rows, given.columns)


def _write(response: Message, found: Answer) -> None:
    """Put columns, statuses and what is told of all rows where the message has a place for it."""
    places = _fields(response)
    response.status.extend(found.status.tolist())
    for name, column in found.columns.items():
        # What the p-values are of has one name here, whatever the kind of model.
        is_first = name == "log_prob" and "score" in places and "score" not in found.columns
        place = "score" if is_first else name
        if place in _MATRICES:
            rows, columns = column.shape
            matrix = _class("Matrix")(rows=rows, columns=columns, values=as_doubles(column))
            getattr(response, place).CopyFrom(matrix)
        elif place in _VECTORS:
            getattr(response, place).extend(as_doubles(column))
        else:
            getattr(response, place).extend(np.ma.filled(column, False).tolist())
    for name, value in found.told.items():
        if value is not None and name in places:
            setattr(response, name, value)
