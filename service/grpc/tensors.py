"""Tensors and parameters of the Open Inference Protocol's messages, and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import invalid
from service.grpc.pool import Message, packed
from service.oip.messages import InputTensor, OutputTensor, Parameter
from service.oip.tensors import from_bytes, from_values, refuse_parameters, to_bytes

# The one field of InferTensorContents for each datatype; FP16 and BF16 have none.
CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
# Declared as bytes in our pool: pieces of one packed array.
_IN_BULK = {"fp32_contents", "fp64_contents"}
_DOUBLE = np.dtype("<f8")
_INT64 = range(-(2**63), 2**63)


def is_typed(request: Message) -> bool:
    """Whether a request has its values in ``contents``, so that its answer has them there too."""
    return bool(request.inputs) and not request.raw_input_contents


def read_inputs(request: Message) -> tuple[InputTensor, ...]:
    """The inputs of a request.

    Raises:
        ServiceError: ``invalid_input`` or ``unsupported``, naming the tensor.
    """
    for tensor in (*request.inputs, *request.outputs):
        if parameters := tensor.parameters:
            refuse_parameters(tensor.name, parameters)
    if is_typed(request):
        return tuple(
            InputTensor(tensor.name, tensor.datatype, _typed(tensor)) for tensor in request.inputs
        )
    return _raw_inputs(request.inputs, request.raw_input_contents)


def write_outputs(response: Message, outputs: Sequence[OutputTensor], typed: bool) -> None:
    """Put outputs into an answer, as ``contents`` or raw."""
    for output in outputs:
        array = output.array
        tensor = response.outputs.add(
            name=output.name, datatype=output.datatype, shape=array.shape
        )
        if not typed:
            response.raw_output_contents.append(bytes(to_bytes(array)))
            continue
        field = CONTENTS[output.datatype]
        values = [bytes(to_bytes(array))] if field in _IN_BULK else array.ravel().tolist()
        getattr(tensor.contents, field).extend(values)


def read_parameters(parameters: Mapping[str, Message]) -> dict[str, Any]:
    """Parameters as Python's values.

    Raises:
        ServiceError: ``invalid_input`` for one without a value.
    """
    if not parameters:  # as nearly always
        return {}
    found = {name: given.WhichOneof("parameter_choice") for name, given in parameters.items()}
    for name, choice in found.items():
        if choice is None:
            raise invalid(f"expected a value of the parameter {name[:64]!r}, got none")
    return {name: getattr(parameters[name], choice) for name, choice in found.items()}


def write_parameters(target: Any, values: Mapping[str, Parameter]) -> None:  # noqa: ANN401 - a map field
    """Put values into the parameters of an answer."""
    for name, value in values.items():
        setattr(target[name], _choice(value), value)


def _choice(value: Parameter) -> str:
    match value:
        case bool():
            return "bool_param"
        case int():
            return "int64_param" if value in _INT64 else "uint64_param"
        case str():
            return "string_param"
        case _:
            return "double_param"


def _raw_inputs(tensors: Sequence[Message], raw: Sequence[bytes]) -> tuple[InputTensor, ...]:
    for tensor in tensors:
        if tensor.HasField("contents"):
            raise invalid(
                "expected every input in raw_input_contents or every input in contents, "
                f"got both: {tensor.name[:64]!r} has contents"
            )
    if len(raw) != len(tensors):
        raise invalid(
            f"expected an entry of raw_input_contents for each of {len(tensors)} inputs, "
            f"got {len(raw)}"
        )
    found = []
    for tensor, data in zip(tensors, raw, strict=True):
        name, datatype = tensor.name, tensor.datatype
        array = from_bytes(name, datatype, tensor.shape, data)
        found.append(InputTensor(name, datatype, array))
    return tuple(found)


def _typed(tensor: Message) -> NDArray[Any]:
    name, datatype, contents = tensor.name[:64], tensor.datatype, tensor.contents
    field = CONTENTS.get(datatype)
    if field is None:
        listed = ", ".join(CONTENTS)
        raise invalid(
            f"expected the datatype of {name!r} to be one of {listed} where its values are in "
            f"contents, got {datatype[:64]!r}"
        )
    used = [filled.name for filled, _ in contents.ListFields() if filled.name != field]
    if used:
        raise invalid(
            f"expected the values of {name!r} in {field}, as it is {datatype}, got {used[0]}"
        )
    if field in _IN_BULK:
        return from_bytes(tensor.name, datatype, tensor.shape, packed(contents, field))
    return from_values(tensor.name, datatype, tensor.shape, list(getattr(contents, field)))


def doubles(holder: Message, field: str, called: str) -> NDArray[np.float64]:
    """The doubles of a field of a message, as they came.

    Raises:
        ServiceError: ``invalid_input`` if they are cut off.
    """
    data = packed(holder, field)
    if len(data) % _DOUBLE.itemsize:
        raise invalid(f"expected whole doubles in {called!r}, got {len(data)} bytes")
    return np.frombuffer(data, _DOUBLE)


def as_doubles(values: NDArray[Any]) -> list[bytes]:
    """Values for a field of doubles; nothing of no values."""
    return [np.ascontiguousarray(values, _DOUBLE).tobytes()] if values.size else []
