"""The JSON of an inference request, before any value of its tensors is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from service.errors import invalid
from service.http.parsing import loads
from service.oip.messages import Parameters
from service.oip.tensors import refuse_parameters, shape_of

_PLAIN = frozenset({bool, int, float, str})
# Clients that send raw values send the same few lines before them, every time.
_REMEMBERED, _SHORT_BYTES = 256, 1024
Json = dict[str, Any]


class TensorHeader(NamedTuple):
    """What is said of an input.

    Attributes:
        name: As the client says.
        datatype: As the client says.
        shape: As the client says; sizes, where the values are raw.
        size: Bytes of its raw values; None where they are in the JSON.
        values: Those in the JSON.
    """

    name: str
    datatype: str
    shape: Sequence[Any]
    size: int | None
    values: object


class Header(NamedTuple):
    """What a request says.

    Attributes:
        inputs: In the client's order.
        outputs: Names of those wanted, in the client's order.
        parameters: Of the request.
        id: Of the request, or empty.
        binary: Outputs that say whether they are wanted as raw bytes.
    """

    inputs: tuple[TensorHeader, ...]
    outputs: tuple[str, ...]
    parameters: Parameters
    id: str
    binary: Mapping[str, bool]


def read_header(text: bytes, *, has_values_behind: bool) -> Header:
    """The JSON of a body; the result may be one that was given before.

    Args:
        text: The JSON.
        has_values_behind: Whether raw values follow, so that the same text is likely to return.

    Raises:
        ServiceError: ``invalid_input`` or ``unsupported``.
    """
    return (_again if has_values_behind and len(text) <= _SHORT_BYTES else _read)(text)


def json_object(value: object, what: str) -> Json:
    """A value that must be an object.

    Raises:
        ServiceError: If it is something else.
    """
    if not isinstance(value, dict):
        raise invalid(f"expected {what} to be a JSON object")
    return value


def _read(text: bytes) -> Header:
    content = json_object(loads(text), "the request")
    parameters = _parameters(content, "the request", "")
    inputs = tuple(_input(entry) for entry in _entries(content, "inputs"))
    outputs = [] if content.get("outputs") in (None, []) else _entries(content, "outputs")
    names = tuple(_text(entry, "name", "an output") for entry in outputs)
    identity = content.get("id", "")
    if not isinstance(identity, str):
        raise invalid("expected 'id' of the request to be text")
    return Header(inputs, names, parameters, identity, dict(_wishes(names, outputs)))


_again = lru_cache(_REMEMBERED)(_read)


def _input(entry: Json) -> TensorHeader:
    name = _text(entry, "name", "an input")
    datatype = _text(entry, "datatype", "an input")
    shape = entry.get("shape")
    if not isinstance(shape, list):
        raise invalid(f"expected 'shape' of input {name[:64]!r} as a list of sizes")
    parameters = _parameters(entry, "input", name)
    refuse_parameters(name, parameters)
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in entry):
        raise invalid(
            f"expected input {name[:64]!r} with either 'data' or the parameter "
            f"'binary_data_size', got {'neither' if size is None else 'both'}"
        )
    if size is not None and (type(size) is not int or size < 0):
        raise invalid(f"expected 'binary_data_size' of {name[:64]!r} as a number of bytes")
    sizes = shape if size is None else shape_of(name, shape)
    return TensorHeader(name, datatype, sizes, size, entry.get("data"))


def _wishes(names: tuple[str, ...], outputs: list[Json]) -> list[tuple[str, bool]]:
    wishes = []
    for name, entry in zip(names, outputs, strict=True):
        parameters = _parameters(entry, "output", name)
        refuse_parameters(name, parameters)
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


def _text(content: Json, field_name: str, what: str) -> str:
    value = content.get(field_name)
    if not isinstance(value, str):
        raise invalid(f"expected {field_name!r} of {what} as text")
    return value
