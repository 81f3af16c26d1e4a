"""Bodies of inference requests and answers: JSON, and tensors as raw bytes behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from numpy.typing import NDArray

from service.errors import invalid
from service.http.oip.header import TensorHeader, read_header
from service.oip import tensors
from service.oip.messages import (
    InferAnswer,
    InferRequest,
    InputTensor,
    OutputTensor,
    TensorSpec,
)

HEADER_LENGTH = "inference-header-content-length"
_MAX_DIGITS = 12
_NOTHING: Mapping[str, bool] = MappingProxyType({})
CheckRows = Callable[[Sequence[object]], None]
Json = dict[str, Any]


class Asked(NamedTuple):
    """A request, and which of its outputs it wants as raw bytes.

    Attributes:
        request: To be answered.
        binary: Of outputs that say so themselves.
        binary_by_default: Of all others.
    """

    request: InferRequest
    binary: Mapping[str, bool] = _NOTHING
    binary_by_default: bool = False

    def is_binary(self, name: str) -> bool:
        """Whether an output is wanted as raw bytes."""
        return self.binary.get(name, self.binary_by_default)


def read_body(
    model: str, version: str, body: bytes, header_length: str | None, check_rows: CheckRows
) -> Asked:
    """A body that is JSON, maybe with raw tensors behind it.

    Args:
        model: From the path.
        version: From the path, or empty.
        body: Whole and decompressed.
        header_length: Bytes of the JSON, where the request says so.
        check_rows: Refuses shapes of too many rows, before their values are looked at.

    Raises:
        ServiceError: ``invalid_input``.
    """
    length = len(body) if header_length is None else _length(header_length, len(body))
    if header_length is None and not body.lstrip()[:1] == b"{":
        raise invalid(
            "expected a JSON object as body, got something else; raw values need the header "
            f"{HEADER_LENGTH}, which is 0 where there is nothing else"
        )
    told = read_header(body[:length], has_values_behind=length < len(body))
    raw = _Raw(memoryview(body)[length:])
    for tensor in told.inputs:
        check_rows(tensor.shape)
    inputs = tuple([_input(tensor, raw) for tensor in told.inputs])
    raw.end()
    request = InferRequest(model, version, inputs, told.outputs, told.parameters, told.id)
    return Asked(request, told.binary, told.parameters.get("binary_data_output") is True)


def read_raw(model: str, version: str, body: bytes, inputs: tuple[TensorSpec, ...]) -> Asked:
    """A body that is one tensor and nothing else, of a model that takes one; rows are counted.

    Raises:
        ServiceError: ``invalid_input`` if the model takes more, or the bytes are no whole rows.
    """
    if len(inputs) != 1 or inputs[0].shape[0] != -1:
        raise invalid(f"{model} takes more than rows: tell its inputs in a JSON header")
    spec = inputs[0]
    row_bytes = spec.shape[1] * tensors.dtype_of(spec.name, spec.datatype).itemsize
    rows, rest = divmod(len(body), row_bytes)
    if rest:
        raise invalid(
            f"expected whole rows of {spec.shape[1]} {spec.datatype} values ({row_bytes} bytes "
            f"each), got {len(body)} bytes"
        )
    array = tensors.from_bytes(spec.name, spec.datatype, (rows, spec.shape[1]), body)
    tensor = InputTensor(spec.name, spec.datatype, array)
    return Asked(InferRequest(model, version, (tensor,)), binary_by_default=True)


def write_body(answer: InferAnswer, asked: Asked) -> tuple[bytes, int | None]:
    """The body of an answer, and the bytes of its JSON where raw tensors follow."""
    outputs: list[Json] = []
    raw: list[memoryview] = []
    for tensor in answer.outputs:
        told: Json = {
            "name": tensor.name,
            "shape": list(tensor.array.shape),
            "datatype": tensor.datatype,
        }
        if asked.is_binary(tensor.name):
            raw.append(tensors.to_bytes(tensor.array))
            told["parameters"] = {"binary_data_size": raw[-1].nbytes}
        else:
            told["data"] = _flat(tensor)
        outputs.append(told)
    content = {"model_name": answer.model, "model_version": answer.version}
    content |= {"id": answer.id} if answer.id else {}
    header = orjson.dumps(
        {**content, "parameters": answer.parameters, "outputs": outputs},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return (b"".join([header, *raw]), len(header)) if raw else (header, None)


class _Raw:
    """The bytes behind the JSON, taken from the front."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def take(self, name: str, size: int) -> memoryview:
        if size > self._data.nbytes:
            missing = size - self._data.nbytes
            raise invalid(f"expected {missing} additional bytes for the tensor {name[:64]!r}")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def end(self) -> None:
        if self._data.nbytes:
            raise invalid(f"unexpected additional input data: {self._data.nbytes} bytes")


def _input(told: TensorHeader, raw: _Raw) -> InputTensor:
    name, datatype, shape, size, values = told
    if size is None:
        array = tensors.from_values(name, datatype, shape, values)
    else:
        array = tensors.view(name, datatype, tuple(shape), raw.take(name, size))
    return InputTensor(name, datatype, array)


def _length(text: str, most: int) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    if not is_number or int(text) > most:
        raise invalid(
            f"expected {HEADER_LENGTH} as a number of bytes of the body, at most {most}, "
            f"got {text[:32]!r}"
        )
    return int(text)


def _flat(tensor: OutputTensor) -> NDArray[Any]:
    return tensor.array.reshape(-1)
