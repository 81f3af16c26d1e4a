"""Message classes of the committed descriptors, in a pool of their own.

The pool that generated code shares would refuse a second definition of a message: this package and
another one that brings the Open Inference Protocol, such as tritonclient, could not live in one
process.

Repeated floats and doubles are declared as repeated bytes here. On the wire the two are the same,
as a packed field is a length and the values, little-endian: arrays go in and come out whole, where
protobuf would make an object of each number. Readers must take a field that is not packed as well;
that arrives as fields of another wire type, which :func:`packed` looks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

# A message: its fields are known to the descriptors alone.
Message = Any

DESCRIPTORS = Path(__file__).with_name("descriptors.binpb")
_SINGLE = {1: 8, 5: 4}  # bytes of a value by the wire type of one that stands alone
_PACKED = (FieldDescriptorProto.TYPE_FLOAT, FieldDescriptorProto.TYPE_DOUBLE)


@cache
def pool() -> DescriptorPool:
    """The descriptors, read once."""
    made = DescriptorPool()
    for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        made.Add(_in_bulk(file))
    return made


@cache
def message(name: str) -> type[Message]:
    """The class of a message, by its full name."""
    found: type[Message] = GetMessageClass(pool().FindMessageTypeByName(name))
    return found


def methods(service: str) -> tuple[MethodDescriptor, ...]:
    """What a service offers, by its full name."""
    return tuple(pool().FindServiceByName(service).methods)


def packed(holder: Message, field: str) -> bytes:
    """The values of a repeated float or double of a message, little-endian."""
    pieces = getattr(holder, field)
    if len(pieces) == 1:
        return pieces[0]  # type: ignore[no-any-return]
    if pieces:
        return b"".join(pieces)
    number = holder.DESCRIPTOR.fields_by_name[field].number
    return b"".join(
        one.data.to_bytes(_SINGLE[one.wire_type], "little")
        for one in UnknownFieldSet(holder)  # type: ignore[attr-defined]
        if one.field_number == number and one.wire_type in _SINGLE
    )


def _in_bulk(file: FileDescriptorProto) -> FileDescriptorProto:
    for found in _messages(file.message_type):
        for field in found.field:
            if field.type in _PACKED and field.label == FieldDescriptorProto.LABEL_REPEATED:
                field.type = FieldDescriptorProto.TYPE_BYTES
    return file


def _messages(found: Any) -> Iterator[DescriptorProto]:  # noqa: ANN401 - protobuf's own container
    for one in found:
        yield one
        yield from _messages(one.nested_type)
