"""Inference as the protocol has it: named tensors in, the named tensors asked for out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.core import Core
from service.deadline import within
from service.errors import ServiceError, invalid
from service.metrics import own_version
from service.oip import tensors
from service.oip.messages import (
    NOTHING,
    InferAnswer,
    InferRequest,
    InputTensor,
    ModelSpec,
    OutputTensor,
    Parameter,
    Parameters,
)
from service.oip.models import COUNT, STATUS, Models, Target, column_of
from service.operations.call import RATES, Answer, Call
from service.rows import check_count

# What is told to be there; clients begin to use an extension when they see it.
EXTENSIONS = (
    "binary_tensor_data",
    "model_configuration",
    "parameters",
    "statistics",
)
# Of the protocol and its extensions; the first bounds the time, the others mean nothing here.
TIMEOUT = "timeout"
RESERVED = frozenset({TIMEOUT, "priority", "headers", "binary_data_output", "content_type"})
# Bytes of a request's tensors from which their casts leave the event loop.
LARGE_BYTES = 2**20
_FRACTIONS = frozenset({*RATES, "temperature"})


class Inference:
    """Answers about models, of whichever transport.

    Args:
        core: Does the work.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._allows_loading = core.config.allow_loading
        self._limit_rows = core.config.limit_rows
        self.models = Models(core)

    def server(self) -> dict[str, Any]:
        """Metadata of the server."""
        extensions = [*EXTENSIONS, *(["model_repository"] if self._allows_loading else [])]
        return {"name": "logdet", "version": own_version(), "extensions": extensions}

    def live(self) -> bool:
        """Whether requests can be answered at all, which asking proves."""
        return True

    def ready(self) -> bool:
        """Whether every model that was loaded can be asked."""
        return self._core.is_ready

    def is_ready(self, model: str, version: str = "") -> bool:
        """Whether a model can be asked.

        Raises:
            ServiceError: ``not_found`` if there is none, ``not_ready`` while none can be.
        """
        return self.models.find(model, version) is not None

    def spec(self, model: str, version: str = "") -> ModelSpec:
        """See :meth:`Models.spec`."""
        return self.models.spec(model, version)

    def counted(
        self,
        model: str,
        version: str = "",
        outputs: tuple[str, ...] = (),
        parameters: Parameters = NOTHING,
    ) -> tuple[str, str, str]:
        """Model, version and method as metrics name them; empty and ``other`` of no model."""
        try:
            target = self.models.find(model, version)
        except ServiceError:
            return "", "", "other"
        try:
            return target.wishes(outputs, parameters).counted
        except ServiceError:  # which the answer tells
            return target.counted

    def check_rows(self, shape: Sequence[object]) -> None:
        """Refuse a tensor of more rows than a request may have, before its values are looked at.

        Raises:
            ServiceError: ``too_large``.
        """
        rows, limit = shape[0] if shape else 0, self._limit_rows
        if type(rows) is int and rows > limit:
            check_count(rows, limit, "NAME", "score")

    async def infer(self, target: Target, request: InferRequest) -> InferAnswer:
        """Answer a request to the model that it names.

        Raises:
            ServiceError: If it is refused.
        """
        wanted, columns, _ = target.wishes(request.outputs, request.parameters)
        if sum([tensor.array.nbytes for tensor in request.inputs]) < LARGE_BYTES:
            call = _call(target, request, columns)
        else:  # casting it would hold up the event loop
            call = await asyncio.to_thread(_call, target, request, columns)
        if TIMEOUT in request.parameters:
            async with within(_seconds(request.parameters)):
                answer = await target.operation.ask(target.served, call)
        else:
            answer = await target.operation.ask(target.served, call)
        manifest = target.manifest
        told = {"density": manifest.density, **answer.told}
        return InferAnswer(
            model=request.model,
            version=str(manifest.version),
            outputs=tuple([_output(target, answer, name) for name in wanted]),
            parameters={
                name: value
                for name, value in told.items()
                if value is not None and _is_finite(value)
            },
            id=request.id,
        )


def _call(target: Target, request: InferRequest, columns: frozenset[str]) -> Call:
    given = _given(target, request.inputs)
    settings = _settings(target, request.parameters)
    context = None
    if "context" in given:
        context = tensors.as_rows("context", given["context"], target.context())
    if target.operation.takes == "count":
        return Call(None, context, {**settings, COUNT: _count(given[COUNT])}, columns)
    rows = tensors.as_rows(target.input, given[target.input], target.columns)
    return Call(rows, context, settings, columns)


def _given(target: Target, inputs: tuple[InputTensor, ...]) -> dict[str, NDArray[Any]]:
    """The inputs by name: each that the model takes, once."""
    if len(inputs) == len(target.inputs) == 1 and inputs[0].name == target.input:
        return {target.input: inputs[0].array}
    expected = [spec.name for spec in target.inputs]
    given = {tensor.name: tensor.array for tensor in inputs}
    names = [tensor.name for tensor in inputs]
    if sorted(names) != sorted(expected):
        got = ", ".join(name[:64] for name in names[:8]) or "none"
        raise invalid(f"expected the inputs {', '.join(expected)} of {target.name}, got {got}")
    return given


def _settings(target: Target, parameters: Parameters) -> Mapping[str, object]:
    if not parameters:
        return {}
    known = [name for name in target.operation.settings if name != COUNT]
    settings = {}
    for name, value in parameters.items():
        if name in RESERVED or name.startswith("triton_"):
            continue
        if name not in known:
            listed = ", ".join(known) or "none"
            raise invalid(f"unknown parameter {name[:64]!r} of {target.name}; known: {listed}")
        settings[name] = _number(name, value)
    return settings


def _number(name: str, value: Parameter) -> object:
    """A parameter; text is read as a number, because some clients can send nothing else."""
    if not isinstance(value, str) or "_" in value:
        return value
    try:
        return float(value) if name in _FRACTIONS else int(value)
    except ValueError:
        return value


def _is_finite(value: Parameter) -> bool:
    """Whether a parameter can carry it: JSON has no infinite threshold."""
    return isinstance(value, str) or math.isfinite(value)


def _seconds(parameters: Parameters) -> float | None:
    """The time that a request allows itself, which the protocol tells in microseconds."""
    value = parameters.get(TIMEOUT)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise invalid(f"expected {TIMEOUT!r} in whole microseconds, got {str(value)[:64]!r}")
    return value / 1e6 if value else None


def _count(array: NDArray[Any]) -> int:
    if array.size != 1 or array.dtype.kind not in "iu":
        raise invalid(
            f"expected {COUNT!r} to be one whole number, got {array.dtype} of shape "
            f"{list(array.shape)}"
        )
    return int(array.reshape(-1)[0])


def _output(target: Target, answer: Answer, name: str) -> OutputTensor:
    if name == STATUS:
        return OutputTensor(STATUS, "UINT8", np.ascontiguousarray(answer.status, np.uint8))
    spec = target.outputs[name]
    column = answer.columns[column_of(name)]
    if isinstance(column, np.ma.MaskedArray):
        column = column.filled(fill_value=False)  # what is not decided has no p_value either
    return OutputTensor(name, spec.datatype, tensors.as_type(column, spec.datatype))
