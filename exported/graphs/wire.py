"""Protobuf's wire format, read strictly: what a reader here skips, another might obey.

References:
    Protocol Buffers, Encoding. https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from exported.errors import BundleInvalidError

# A file of 256 MiB could hold so many that to look at each of them would take minutes.
MAX_FIELDS = 2_000_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10

Value = int | memoryview
# Name of each field by its number: behind a # whole numbers, behind a ~ floating-point ones, the
# others are bytes; before a star those that may be repeated.
Fields = Mapping[int, str]


@dataclass(slots=True)
class Reader:
    """Reads the messages of one file.

    Attributes:
        left: Fields that may still be read.
    """

    left: int = MAX_FIELDS

    def message(self, data: memoryview, known: Fields, kind: str) -> dict[str, list[Value]]:
        """The fields of a message by name; lists that are empty are left out.

        Args:
            data: Of the message.
            known: Its fields.
            kind: What it is, for errors.

        Raises:
            BundleInvalidError: If it holds another field, one of another kind, or one twice that
                is there once.
        """
        found: dict[str, list[Value]] = {}
        for number, wire, value in self._fields(data):
            name = known.get(number)
            if name is None or wire not in _wires(name):
                raise BundleInvalidError(f"a graph's {kind} has a field {number}, not known here")
            values = found.setdefault(name.strip("#~*"), [])
            if values and not name.endswith("*"):
                raise BundleInvalidError(f"a graph's {kind} has its {name} twice")
            values.append(value)
        return found

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int, Value]]:
        at, end = 0, len(data)
        while at < end:
            self.left -= 1
            if self.left < 0:
                raise BundleInvalidError(f"expected at most {MAX_FIELDS} fields in a graph's file")
            key, at = varint(data, at)
            wire = key & 7
            if wire == _VARINT:
                value, at = varint(data, at)
                yield key >> 3, wire, value
                continue
            size = _WIDTHS.get(wire, 0)
            if wire == _BYTES:
                size, at = varint(data, at)
            elif not size:
                raise _broken()
            if size > end - at:
                raise _broken()
            yield key >> 3, wire, data[at : at + size]
            at += size


@cache
def _wires(name: str) -> tuple[int, ...]:
    """How a field may be written; numbers that are repeated may be packed."""
    alone = {"#": (_VARINT,), "~": (_FIXED32, _FIXED64)}.get(name[0])
    if alone is None:
        return (_BYTES,)
    return (*alone, _BYTES) if name.endswith("*") else alone


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number at a place, and the place behind it.

    Raises:
        BundleInvalidError: If there is none.
    """
    number = shift = 0
    for place in range(at, min(at + _MAX_VARINT_BYTES, len(data))):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place + 1
        shift += 7
    raise _broken()


def integers(values: list[Value]) -> list[int]:
    """Signed numbers of a repeated field, packed or not.

    Raises:
        BundleInvalidError: If they are none.
    """
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(_signed(value))
            continue
        at = 0
        while at < len(value):
            number, at = varint(value, at)
            found.append(_signed(number))
    return found


def text(values: list[Value] | None) -> str:
    """A text field; empty where it is left out.

    Raises:
        BundleInvalidError: If it is none.
    """
    if not values:
        return ""
    value = values[0]
    try:
        return bytes(value).decode() if isinstance(value, memoryview) else _no_text()
    except UnicodeDecodeError:
        return _no_text()


def parts(values: list[Value] | None) -> list[memoryview]:
    """The messages, texts or bytes of a repeated field.

    Raises:
        BundleInvalidError: If they are numbers.
    """
    found = [value for value in values or () if isinstance(value, memoryview)]
    if len(found) < len(values or ()):
        raise _broken()
    return found


def _signed(number: int) -> int:
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number


def _no_text() -> str:
    raise _broken()


def _broken() -> BundleInvalidError:
    return BundleInvalidError("expected a graph's file to be an ONNX model, got other bytes")
