"""An ONNX model as far as its safety depends on it: nodes, names, small constants, nothing else.

References:
    onnx.proto. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from exported.errors import BundleInvalidError
from exported.graphs.wire import Fields, Reader, Value, integers, parts, text

MAX_NESTING = 4  # of graphs in graphs
MAX_NODES = 100_000
MAX_ELEMENTS = 2**26  # of a tensor in the file: 256 MiB of float32
_SMALL = 64  # numbers of a constant that may be a size or a count
_INT64 = 7
# float32, uint8, int8, int32, int64, bool, float16, float64, bfloat16, and no text.
_DATATYPES = frozenset({1, 2, 3, 6, 7, 9, 10, 11, 16})
_EXTERNAL = 1

_MODEL: Fields = {
    1: "#ir_version",
    2: "producer_name",
    3: "producer_version",
    4: "domain",
    5: "#model_version",
    6: "doc_string",
    7: "graph",
    8: "opset_import*",
    14: "metadata*",
}
_OPSET: Fields = {1: "domain", 2: "#version"}
_GRAPH: Fields = {
    1: "node*",
    2: "name",
    5: "initializer*",
    10: "doc_string",
    11: "input*",
    12: "output*",
    13: "value_info*",
    16: "metadata*",
}
_VALUE: Fields = {1: "name", 2: "type", 3: "doc_string", 4: "metadata*"}
_NODE: Fields = {
    1: "input*",
    2: "output*",
    3: "name",
    4: "op_type",
    5: "attribute*",
    6: "doc_string",
    7: "domain",
    9: "metadata*",
}
_ATTRIBUTE: Fields = {
    1: "name",
    2: "~f",
    3: "#i",
    4: "s",
    5: "t",
    6: "g",
    7: "~floats*",
    8: "#ints*",
    9: "strings*",
    13: "doc_string",
    20: "#type",
}
_TENSOR: Fields = {
    1: "#dims*",
    2: "#data_type",
    4: "~float_data*",
    5: "#int32_data*",
    7: "#int64_data*",
    8: "name",
    9: "raw_data",
    10: "~double_data*",
    11: "#uint64_data*",
    12: "doc_string",
    13: "external_data*",
    14: "#data_location",
    16: "metadata*",
}
_ENTRY: Fields = {1: "key", 2: "value"}


@dataclass(frozen=True, slots=True)
class Node:
    """An operator.

    Attributes:
        operator: Its name.
        domain: That defines it; empty for ONNX's own.
        inputs: Names; empty for one that is left out.
        outputs: Names.
        bodies: Graphs within, by attribute.
        value: Of a Constant of a few int64 numbers.
    """

    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bodies: Mapping[str, OnnxGraph]
    value: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """Nodes and the names that they speak of.

    Attributes:
        nodes: Operators.
        initializers: Names, each with its numbers if they are a few int64.
        inputs: Names.
        outputs: Names.
    """

    nodes: tuple[Node, ...]
    initializers: Mapping[str, tuple[int, ...] | None]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_model(content: bytes) -> tuple[OnnxGraph, tuple[str, ...]]:
    """The graph of a model, and the domains of operators that it imports.

    Raises:
        BundleInvalidError: If it is no ONNX model, or one with parts that are not read here.
    """
    reader = Reader()
    model = reader.message(memoryview(content), _MODEL, "model")
    opsets = [reader.message(p, _OPSET, "opset") for p in parts(model.get("opset_import"))]
    graphs = parts(model.get("graph"))
    if not graphs:
        raise BundleInvalidError("expected a graph's file to hold a graph, got none")
    read = _Graphs(reader)
    return read.graph(graphs[0], 0), tuple(text(opset.get("domain")) for opset in opsets)


class _Graphs:
    """Reads graphs within a number of nodes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._nodes = 0

    def graph(self, data: memoryview, nesting: int) -> OnnxGraph:
        if nesting > MAX_NESTING:
            raise BundleInvalidError(f"expected at most {MAX_NESTING} graphs within each other")
        found = self._reader.message(data, _GRAPH, "graph")
        nodes = tuple(self._node(part, nesting) for part in parts(found.get("node")))
        tensors = [self._tensor(part) for part in parts(found.get("initializer"))]
        if len({name for name, _ in tensors}) < len(tensors):
            raise BundleInvalidError("a graph has two initializers of the same name")
        return OnnxGraph(
            nodes,
            dict(tensors),
            self._values(found.get("input")),
            self._values(found.get("output")),
        )

    def _values(self, entries: list[Value] | None) -> tuple[str, ...]:
        messages = (self._reader.message(p, _VALUE, "value") for p in parts(entries))
        return tuple(text(message.get("name")) for message in messages)

    def _node(self, data: memoryview, nesting: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise BundleInvalidError(f"expected at most {MAX_NODES} nodes in a graph")
        found = self._reader.message(data, _NODE, "node")
        bodies: dict[str, OnnxGraph] = {}
        value = None
        for part in parts(found.get("attribute")):
            attribute = self._reader.message(part, _ATTRIBUTE, "attribute")
            name = text(attribute.get("name"))
            for body in parts(attribute.get("g")):
                bodies[name] = self.graph(body, nesting + 1)
            for tensor in parts(attribute.get("t")):
                value = self._tensor(tensor)[1]
            if name in ("value_int", "value_ints"):
                value = tuple(integers(attribute.get("i", []) + attribute.get("ints", [])))
        names = (
            tuple(text([entry]) for entry in found.get(kind, ())) for kind in ("input", "output")
        )
        inputs, outputs = names
        operator, domain = text(found.get("op_type")), text(found.get("domain"))
        return Node(operator, domain, inputs, outputs, bodies, value)

    def _tensor(self, data: memoryview) -> tuple[str, tuple[int, ...] | None]:
        found = self._reader.message(data, _TENSOR, "tensor")
        name = text(found.get("name"))
        if found.get("external_data") or found.get("data_location", [0])[0] == _EXTERNAL:
            raise BundleInvalidError(
                f"tensor {name[:64]!r} keeps its numbers in another file{self._where(found)}; a "
                "graph must hold all of its own"
            )
        dims = integers(found.get("dims", []))
        if min(dims, default=0) < 0 or math.prod(dims) > MAX_ELEMENTS:
            raise BundleInvalidError(
                f"expected tensor {name[:64]!r} to have at most {MAX_ELEMENTS} numbers, got {dims}"
            )
        datatype = found.get("data_type", [0])[0]
        if datatype not in _DATATYPES:
            raise BundleInvalidError(f"tensor {name[:64]!r} holds no numbers")
        is_small = datatype == _INT64 and math.prod(dims) <= _SMALL
        return name, _numbers(found) if is_small else None

    def _where(self, tensor: Mapping[str, list[Value]]) -> str:
        entries = [
            self._reader.message(p, _ENTRY, "entry") for p in parts(tensor.get("external_data"))
        ]
        told = {text(entry.get("key")): text(entry.get("value")) for entry in entries}
        return f", {told['location'][:64]!r}" if "location" in told else ""


def _numbers(tensor: Mapping[str, list[Value]]) -> tuple[int, ...]:
    if "int64_data" in tensor:
        return tuple(integers(tensor["int64_data"]))
    raw = b"".join(parts(tensor.get("raw_data")))
    return struct.unpack(f"<{len(raw) // 8}q", raw[: len(raw) // 8 * 8])
