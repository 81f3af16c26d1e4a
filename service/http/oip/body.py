"""Bodies of inference requests and answers: JSON, and tensors as raw bytes behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from numpy.typing import NDArray

from service.errors import invalid
from service.http.parsing import loads
from service.oip import tensors
from service.oip.messages import (
    InferAnswer,
    InferRequest,
    InputTensor,
    OutputTensor,
    Parameters,
    TensorSpec,
)

HEADER_LENGTH = "inference-header-content-length"
_MAX_DIGITS = 12
_NOTHING: Mapping[str, bool] = MappingProxyType({})
_PLAIN = frozenset({bool, int, float, str})
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
    content = json_object(loads(body[:length]), "the request")
    parameters = _parameters(content, "the request", "")
    raw = _Raw(memoryview(body)[length:], check_rows)
    inputs = tuple(_input(entry, raw) for entry in _entries(content, "inputs"))
    raw.end()
    outputs = [] if content.get("outputs") in (None, []) else _entries(content, "outputs")
    names = tuple(_text(entry, "name", "an output") for entry in outputs)
    identity = content.get("id", "")
    if not isinstance(identity, str):
        raise invalid("expected 'id' of the request to be text")
    request = InferRequest(model, version, inputs, names, parameters, identity)
    binary = dict(_wishes(names, outputs))
    return Asked(request, binary, parameters.get("binary_data_output") is True)


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
    """The bytes behind the JSON, taken from the front, and how many rows a tensor may have."""

    def __init__(self, data: memoryview, check_rows: CheckRows) -> None:
        self._data = data
        self.check_rows = check_rows

    def take(self, name: str, size: int) -> memoryview:
        if size > self._data.nbytes:
            missing = size - self._data.nbytes
            raise invalid(f"expected {missing} additional bytes for the tensor {name[:64]!r}")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def end(self) -> None:
        if self._data.nbytes:
            raise invalid(f"unexpected additional input data: {self._data.nbytes} bytes")


def _input(entry: Json, raw: _Raw) -> InputTensor:
    name = _text(entry, "name", "an input")
    datatype = _text(entry, "datatype", "an input")
    shape = entry.get("shape")
    if not isinstance(shape, list):
        raise invalid(f"expected 'shape' of input {name[:64]!r} as a list of sizes")
    raw.check_rows(shape)
    parameters = _parameters(entry, "input", name)
    tensors.refuse_parameters(name, parameters)
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in entry):
        raise invalid(
            f"expected input {name[:64]!r} with either 'data' or the parameter "
            f"'binary_data_size', got {'neither' if size is None else 'both'}"
        )
    if size is None:
        array = tensors.from_values(name, datatype, shape, entry["data"])
    else:
        array = _from_raw(name, datatype, shape, raw, size)
    return InputTensor(name, datatype, array)


def _from_raw(name: str, datatype: str, shape: list[Any], raw: _Raw, size: object) -> NDArray[Any]:
    if type(size) is not int or size < 0:
        raise invalid(f"expected 'binary_data_size' of {name[:64]!r} as a number of bytes")
    return tensors.from_bytes(name, datatype, shape, raw.take(name, size))


def _wishes(names: tuple[str, ...], outputs: list[Json]) -> list[tuple[str, bool]]:
    wishes = []
    for name, entry in zip(names, outputs, strict=True):
        parameters = _parameters(entry, "output", name)
        tensors.refuse_parameters(name, parameters)
        if (wish := parameters.get("binary_data")) is not None:
            wishes.append((name, wish is True))
    return wishes


def _entries(content: Json, field_name: str) -> list[Json]:
    value = content.get(field_name)
    if not isinstance(value, list) or not value:
        raise invalid(f"expected {field_name!r} as a list of tensors")
    return [json_object(entry, f"an entry of {field_name!r}") for entry in value]


def _parameters(content: Json, what: str, name: str) -> Parameters:
    value = content.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict) or not _PLAIN.issuperset(map(type, value.values())):
        whose = f"{what} {name[:64]!r}" if name else what
        raise invalid(f"expected 'parameters' of {whose} as an object of plain values")
    return value


def json_object(value: object, what: str) -> Json:
    """A value that must be an object.

    Raises:
        ServiceError: ``invalid_input`` if it is something else.
    """
    if not isinstance(value, dict):
        raise invalid(f"expected {what} to be a JSON object")
    return value


def _text(content: Json, field_name: str, what: str) -> str:
    value = content.get(field_name)
    if not isinstance(value, str):
        raise invalid(f"expected {field_name!r} of {what} as text")
    return value


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
