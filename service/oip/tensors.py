"""Tensors of the protocol into numpy arrays and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import ErrorKind, ServiceError, invalid

# As on the wire: little-endian.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
# Whole numbers beyond are not all doubles.
EXACT = 2**53
# Every number of so few bytes is a float32.
_SHORT = 2
_MAX_AXES = 8
_MAX_ELEMENTS = 2**40
_UNSUPPORTED = ("shared_memory", "classification")


def dtype_of(name: str, datatype: str) -> np.dtype[Any]:
    """The numpy type of a datatype.

    Raises:
        ServiceError: ``invalid_input`` if no tensor of a model can have it.
    """
    if datatype not in DTYPES:
        raise invalid(
            f"expected input {name[:64]!r} as FP32 or another type of numbers, "
            f"got {str(datatype)[:16]!r}"
        )
    return DTYPES[datatype]


def shape_of(name: str, shape: Sequence[object]) -> tuple[int, ...]:
    """A shape of the wire.

    Raises:
        ServiceError: ``invalid_input`` if it is not a list of sizes, or too large to be true.
    """
    sizes = [size for size in shape if type(size) is int and 0 <= size <= _MAX_ELEMENTS]
    is_shape = len(sizes) == len(shape) <= _MAX_AXES
    if not is_shape or math.prod(sizes) > _MAX_ELEMENTS:
        raise invalid(f"expected a shape of sizes for {name[:64]!r}, got {str(list(shape))[:64]}")
    return tuple(sizes)


def from_bytes(
    name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview
) -> NDArray[Any]:
    """A read-only view of raw values, row by row and little-endian; nothing is copied.

    Raises:
        ServiceError: ``invalid_input`` if they are not as many bytes as the shape needs.
    """
    return view(name, datatype, shape_of(name, shape), data)


def view(
    name: str, datatype: str, sizes: tuple[int, ...], data: bytes | memoryview
) -> NDArray[Any]:
    """As :func:`from_bytes`, of a shape that was looked at before."""
    dtype = dtype_of(name, datatype)
    needed, got = math.prod(sizes) * dtype.itemsize, memoryview(data).nbytes
    if got != needed:
        raise _wrong_size(name, datatype, sizes, f"{needed} bytes", f"{got}")
    if dtype.kind == "b" and needed and np.frombuffer(data, np.uint8).max() > 1:
        raise invalid(f"expected bytes of 0 and 1 in the BOOL tensor {name[:64]!r}")
    return np.frombuffer(data, dtype).reshape(sizes)


def from_values(name: str, datatype: str, shape: Sequence[object], values: object) -> NDArray[Any]:
    """Values of a list, flat or nested as the shape is; null is NaN where the type has one.

    Raises:
        ServiceError: ``invalid_input`` if they are not as the datatype and the shape say.
    """
    dtype, sizes = dtype_of(name, datatype), shape_of(name, shape)
    if dtype == DTYPES["FP16"]:
        raise invalid(f"expected FP16 tensors such as {name[:64]!r} as binary data, got JSON")
    flat = _flat(name, values, sizes)
    if len(flat) != math.prod(sizes):
        raise _wrong_size(name, datatype, sizes, f"{math.prod(sizes)} values", str(len(flat)))
    _check_types(name, datatype, dtype, flat)
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, dtype).reshape(sizes)
    except OverflowError as error:
        raise invalid(f"a value of {name[:64]!r} does not fit {datatype}") from error


def refuse_parameters(name: str, parameters: Iterable[str]) -> None:
    """Refuse what a tensor asks for and would miss if it were passed over.

    Args:
        name: Of the tensor.
        parameters: Names of its parameters.

    Raises:
        ServiceError: ``unsupported``.
    """
    for parameter in parameters:
        if parameter.startswith(_UNSUPPORTED):
            raise ServiceError(
                ErrorKind.UNSUPPORTED,
                f"expected no parameter {parameter[:64]!r} of {name[:64]!r}: shared memory and "
                "classification are not offered",
            )


def as_type(array: NDArray[Any], datatype: str) -> NDArray[Any]:
    """The values in a datatype, contiguous; those too large for it become infinite."""
    dtype = DTYPES[datatype]
    if array.dtype == dtype and array.flags.c_contiguous:
        return array
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype)


def to_bytes(array: NDArray[Any]) -> memoryview:
    """The raw values of a contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8).data


def as_rows(name: str, array: NDArray[Any], columns: Sequence[str]) -> NDArray[np.floating]:
    """A tensor as rows of floats, as it is where it is one; every value is kept exactly.

    Args:
        name: Of the tensor.
        array: Of any numeric type.
        columns: Names of the values of a row.

    Raises:
        ServiceError: ``invalid_input`` if it has another shape, or whole numbers that no double
            is equal to.
    """
    if array.ndim != 2 or array.shape[1] != len(columns):
        raise invalid(
            f"expected input {name!r} of shape [-1, {len(columns)}], got {list(array.shape)}"
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > _SHORT:
        return array
    if array.dtype.itemsize <= _SHORT:
        return array.astype(np.float32)
    if array.dtype.itemsize == 8 and array.size and _beyond(array):
        raise invalid(f"expected whole numbers of at most 2**53 in {name!r}, got a larger one")
    return array.astype(np.float64)


def _beyond(array: NDArray[Any]) -> bool:
    return int(array.max()) > EXACT or int(array.min()) < -EXACT


def _flat(name: str, values: object, sizes: tuple[int, ...]) -> list[Any]:
    if not isinstance(values, list):
        raise invalid(f"expected the data of {name[:64]!r} as a list of numbers")
    if not values or not isinstance(values[0], list):
        return values
    nested: list[Any] = values
    for size in sizes[1:]:
        if set(map(type, nested)) != {list} or set(map(len, nested)) != {size}:
            raise invalid(f"expected the data of {name[:64]!r} nested as its shape {list(sizes)}")
        nested = list(chain.from_iterable(nested))
    return nested


_ACCEPTED: Mapping[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "u": frozenset({int}),
    "i": frozenset({int}),
    "f": frozenset({int, float, type(None)}),
}


def _check_types(name: str, datatype: str, dtype: np.dtype[Any], flat: list[Any]) -> None:
    odd = set(map(type, flat)) - _ACCEPTED[dtype.kind]
    if odd:
        kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", float: "a "
                 "number with a fraction", int: "a number", type(None): "null"}  # fmt: skip
        got = kinds.get(odd.pop(), "something else")
        raise invalid(f"expected {datatype} values in {name[:64]!r}, got {got}")


def _wrong_size(
    name: str, datatype: str, sizes: tuple[int, ...], needed: str, got: str
) -> ServiceError:
    return invalid(
        f"expected {needed} of {datatype} for {name[:64]!r} of shape {list(sizes)}, got {got}"
    )
