"""Graphs from untrusted places: each trick is refused in a sentence, before anything runs it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from exported.errors import BundleInvalidError
from exported.graphs import check_graph, constants, document, loops, sizes, wire

ROOT = Path(__file__).parents[2]
node, value = helper.make_node, helper.make_tensor_value_info


def constant(name: str, *numbers: int, shape: tuple[int, ...] | None = None) -> onnx.TensorProto:
    array = np.array(numbers, np.int64)
    return numpy_helper.from_array(array.reshape(array.shape if shape is None else shape), name)


def scalar(name: str, number: int) -> onnx.TensorProto:
    return constant(name, number, shape=())


def model(
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto] | None = None,
    inputs: tuple[str, ...] = ("x",),
) -> onnx.ModelProto:
    """A model from inputs to y."""
    kinds = {"steps": (TensorProto.INT64, [])}
    described = [value(name, *kinds.get(name, (TensorProto.FLOAT, ["n", 2]))) for name in inputs]
    graph = helper.make_graph(
        nodes, "g", described, [value("y", TensorProto.FLOAT, None)], initializers or []
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def check(made: onnx.ModelProto, options: tuple[str, ...] = ()) -> None:
    check_graph("g.onnx", made.SerializeToString(), options)


def refused(made: onnx.ModelProto, told: str, options: tuple[str, ...] = ()) -> None:
    with pytest.raises(BundleInvalidError, match=told) as error:
        check(made, options)
    assert str(error.value).startswith("g.onnx is refused: ")


def counting(bound: str, step: int = 1, start: str = "zero", compare: str = "Less") -> Any:
    """A Loop as torch exports ``while_loop``: x is doubled while a counter is below a bound."""
    body = helper.make_graph(
        [
            node("Add", ["count", "step"], ["counted"]),
            node(compare, ["counted", bound], ["more"]),
            node("Add", ["state", "state"], ["doubled"]),
        ],
        "body",
        [
            value("round", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("count", TensorProto.INT64, []),
            value("state", TensorProto.FLOAT, None),
        ],
        [
            value("more", TensorProto.BOOL, []),
            value("counted", TensorProto.INT64, []),
            value("doubled", TensorProto.FLOAT, None),
        ],
        [scalar("step", step)],
    )
    return node("Loop", ["", "true", start, "x"], ["end", "y"], body=body)


TRUE = numpy_helper.from_array(np.array(True), "true")


def looping(limit: str, go: str = "true") -> Any:
    """A Loop with a limit of rounds."""
    body = helper.make_graph(
        [node("Identity", ["on"], ["more"]), node("Add", ["state", "state"], ["doubled"])],
        "body",
        [
            value("round", TensorProto.INT64, []),
            value("on", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, None),
        ],
        [value("more", TensorProto.BOOL, []), value("doubled", TensorProto.FLOAT, None)],
    )
    return node("Loop", [limit, go, "x"], ["y"], body=body)


def external(location: str, name: str = "w") -> onnx.TensorProto:
    tensor = TensorProto(name=name, dims=[2], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


@pytest.mark.parametrize("path", sorted(ROOT.glob("exported/bundles/*/*/*.onnx")), ids=str)
def test_graphs_that_ship_are_accepted(path: Path) -> None:
    check_graph(path.name, path.read_bytes(), ("depth",))


@pytest.mark.parametrize("location", ["../../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_numbers_in_another_file_are_refused_by_its_name(location: str) -> None:
    made = model([node("Add", ["x", "w"], ["y"])], [external(location)])
    refused(made, f"tensor 'w' keeps its numbers in another file, '{location}'")


def test_numbers_in_another_file_are_refused_wherever_they_are() -> None:
    hidden = node("Constant", [], ["w"], value=external("/etc/passwd"))
    refused(model([hidden, node("Add", ["x", "w"], ["y"])]), "another file")
    branch = helper.make_graph([hidden], "b", [], [value("w", TensorProto.FLOAT, None)])
    either = node("If", ["true"], ["y"], then_branch=branch, else_branch=branch)
    refused(model([either], [TRUE]), "another file")
    silent = TensorProto(name="w", dims=[2], data_type=TensorProto.FLOAT, data_location=1)
    refused(model([node("Add", ["x", "w"], ["y"])], [silent]), "another file")
    sly = TensorProto(name="w", dims=[2], data_type=TensorProto.FLOAT)
    sly.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    refused(model([node("Add", ["x", "w"], ["y"])], [sly]), "another file")


def test_operators_of_others_are_refused() -> None:
    refused(model([node("Evil", ["x"], ["y"], domain="evil.org")]), "domain 'evil.org'")
    made = model([node("Identity", ["x"], ["y"])])
    made.opset_import.append(helper.make_opsetid("evil.org", 1))
    refused(made, "domain 'evil.org'")


@pytest.mark.parametrize(
    "operator",
    ["RandomNormalLike", "Bernoulli", "ImageDecoder", "StringConcat", "Scan", "NonZero"],
)
def test_operators_that_are_not_on_the_list_are_refused(operator: str) -> None:
    refused(model([node(operator, ["x"], ["y"])]), f"operator '{operator}'")


def test_parts_that_are_not_read_are_refused() -> None:
    made = model([node("Identity", ["x"], ["y"])])
    made.functions.add(name="f", domain="")
    refused(made, "field 25")
    made = model([node("Identity", ["x"], ["y"])])
    made.graph.sparse_initializer.add()
    refused(made, "field 15")
    made = model([node("Identity", ["x"], ["y"])])
    text = TensorProto(name="w", dims=[1], data_type=TensorProto.STRING, string_data=[b"/etc"])
    made.graph.initializer.append(text)
    refused(made, "field 6|holds no numbers")


def test_a_part_that_is_there_twice_is_refused_as_readers_join_it() -> None:
    good = model([node("Identity", ["x"], ["y"])])
    evil = onnx.ModelProto()
    evil.graph.initializer.append(external("/etc/passwd"))
    joined = good.SerializeToString() + evil.SerializeToString()
    assert onnx.ModelProto.FromString(joined).graph.initializer
    with pytest.raises(BundleInvalidError, match="graph twice"):
        check_graph("g.onnx", joined, ())


LOOPS: dict[str, Callable[[], onnx.ModelProto]] = {
    "that has no limit": lambda: model([looping("")], [TRUE]),
    "whose limit is a row": lambda: model([looping("x")], [TRUE]),
    "whose limit is computed": lambda: model(
        [node("Mul", ["a", "a"], ["b"]), looping("b")], [TRUE, scalar("a", 10**6)]
    ),
    "that counts down": lambda: model(
        [counting("bound", step=-1)], [TRUE, scalar("zero", 0), scalar("bound", 5)]
    ),
    "that stands still": lambda: model(
        [counting("bound", step=0)], [TRUE, scalar("zero", 0), scalar("bound", 5)]
    ),
    "that begins far below": lambda: model(
        [counting("bound")], [TRUE, scalar("zero", -(10**15)), scalar("bound", 5)]
    ),
    "that compares otherwise": lambda: model(
        [counting("bound", compare="Greater")], [TRUE, scalar("zero", 0), scalar("bound", 5)]
    ),
    "whose bound is a row": lambda: model([counting("x")], [TRUE, scalar("zero", 0)]),
}


@pytest.mark.parametrize("make", LOOPS.values(), ids=LOOPS)
def test_a_loop_is_refused(make: Callable[[], onnx.ModelProto]) -> None:
    refused(make(), "number of rounds|run a number")


def test_loops_of_known_rounds_are_accepted() -> None:
    start = [TRUE, scalar("zero", 0)]
    check(model([counting("bound")], [*start, scalar("bound", 784)]))
    check(model([looping("bound")], [TRUE, scalar("bound", 784)]))
    check(model([counting("steps")], start, inputs=("x", "steps")), ("steps",))
    refused(model([counting("steps")], start, inputs=("x", "steps")), "run a number")


def test_too_many_rounds_are_refused_also_within_each_other() -> None:
    many = scalar("bound", loops.MAX_ROUNDS + 1)
    refused(model([looping("bound")], [TRUE, many]), "100000 rounds")
    inner = looping("bound")
    del inner.input[:]
    inner.input.extend(["bound", "true", "outer_state"])
    body = helper.make_graph(
        [node("Identity", ["outer_on"], ["outer_more"]), inner],
        "outer",
        [
            value("outer_round", TensorProto.INT64, []),
            value("outer_on", TensorProto.BOOL, []),
            value("outer_state", TensorProto.FLOAT, None),
        ],
        [value("outer_more", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, None)],
    )
    nested = node("Loop", ["bound", "true", "x"], ["z"], body=body)
    few = model([nested, node("Identity", ["z"], ["out"])], [TRUE, scalar("bound", 1000)])
    few.graph.output[0].name = "out"
    refused(few, "got 1001000")


def test_sizes_that_depend_on_values_are_refused() -> None:
    size = node("Cast", ["x"], ["size"], to=TensorProto.INT64)
    refused(model([size, node("ConstantOfShape", ["size"], ["y"])]), "depends on their values")
    refused(model([size, node("Expand", ["x", "size"], ["y"])]), "depends on their values")
    fine = model([node("Shape", ["x"], ["size"]), node("Expand", ["x", "size"], ["y"])])
    check(fine)


def test_sizes_that_are_known_are_bounded() -> None:
    large = constant("size", 2**20, 2**20)
    refused(model([node("ConstantOfShape", ["size"], ["y"])], [large]), str(sizes.MAX_MADE))
    check(model([node("Expand", ["x", "size"], ["y"])], [constant("size", 1, 2)]))
    claims = TensorProto(name="w", dims=[2**40], data_type=TensorProto.FLOAT)
    refused(model([node("Add", ["x", "w"], ["y"])], [claims]), str(document.MAX_ELEMENTS))


def test_work_on_constants_is_refused() -> None:
    weights = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    product = [node("MatMul", ["w", "w"], ["v"]), node("MatMul", ["x", "v"], ["y"])]
    refused(model(product, [weights]), "MatMul of constants")
    count = constants.MAX_NODES + 1
    names = ["w", *(f"w{i}" for i in range(count))]
    sums = [node("Add", [names[i], "w"], [names[i + 1]]) for i in range(count)]
    refused(model([*sums, node("MatMul", ["x", names[-1]], ["y"])], [weights]), f"got {count}")


def test_names_are_made_once_and_before_they_are_used() -> None:
    twice = [node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["y"])]
    refused(model(twice), "'y' is made twice")
    refused(model([node("Neg", ["z"], ["y"]), node("Neg", ["x"], ["z"])]), "before it is made")
    refused(model([node("Neg", ["x"], ["y"])], [constant("x", 1)]), "'x' is made twice")


def test_graphs_within_each_other_are_bounded() -> None:
    inner = helper.make_graph(
        [node("Neg", ["x"], ["y0"])], "b", [], [value("y0", TensorProto.FLOAT, None)]
    )
    for depth in range(1, document.MAX_NESTING + 2):
        name = f"y{depth}"
        either = node("If", ["true"], [name], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([either], "b", [], [value(name, TensorProto.FLOAT, None)])
    either = node("If", ["true"], ["y"], then_branch=inner, else_branch=inner)
    refused(model([either], [TRUE]), "within each other")


def test_more_fields_than_anybody_needs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model([node("Identity", ["x"], ["y"])])
    monkeypatch.setattr(wire.Reader.__init__, "__defaults__", (10,))
    refused(made, "fields")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20,
        b"\x3a\xff\xff\xff\xff\x7f",
        b"\x3a\x02\x08",
        struct.pack("<I", 16) + b"ORTM",
    ],
    ids=["nothing", "noise", "length", "torn", "onnxruntime's own"],
)
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(BundleInvalidError, match="refused"):
        check_graph("g.onnx", content, ())


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_the_bytes_are_it_is_accepted_or_refused(data: st.DataObject) -> None:
    good = bytearray(
        model([counting("b")], [TRUE, scalar("zero", 0), scalar("b", 3)]).SerializeToString()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    for content in (bytes(good), bytes(good[:cut])):
        try:
            check_graph("g.onnx", content, ())
        except BundleInvalidError:
            continue
