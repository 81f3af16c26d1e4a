from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.bench.bare import Bare
from tests.bench.bodies import FEATURES, KINDS, some_rows
from tests.rpc import plain


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph that takes the sum of each row for its log-density."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", FEATURES])
    told = helper.make_tensor_value_info("log_prob", TensorProto.FLOAT, ["rows"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    sums = helper.make_node("ReduceSum", ["x", "axes"], ["log_prob"], keepdims=0)
    made = helper.make_graph([sums], "sums", [x], [told], [axes])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "sums.onnx")
    return tmp_path / "sums.onnx"


def asked(app: Bare, kind: str, rows: int) -> np.ndarray:
    content, headers = KINDS[kind].build(some_rows(rows))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"headers": raw}, receive, send))
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return KINDS[kind].read(sent[1]["body"], told)


@pytest.mark.parametrize("kind", ["JSON", "binary"])
def test_the_bare_server_answers_what_the_graph_gives(graph: Path, kind: str) -> None:
    x = some_rows(3)
    np.testing.assert_allclose(asked(Bare(graph), kind, 3), x.sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "field"), [("rows", "rows"), ("x", "x")])
def test_lists_of_rows_hold_the_same_float32_numbers(kind: str, field: str) -> None:
    content, _ = KINDS[kind].build(some_rows(5))
    assert np.array_equal(np.array(json.loads(content)[field], np.float32), some_rows(5))


def test_a_call_of_grpc_holds_the_same_float32_numbers() -> None:
    content, _ = KINDS["gRPC"].build(some_rows(5))
    request = plain("inference.ModelInferRequest").FromString(content)
    assert list(request.inputs[0].shape) == [5, FEATURES]
    values = np.frombuffer(request.raw_input_contents[0], np.float32)
    assert np.array_equal(values.reshape(5, FEATURES), some_rows(5))


def test_answers_of_lists_are_read_bare_and_by_name() -> None:
    for answer in (b'{"log_prob": [-1.5, -2]}', b"[-1.5, -2]"):
        assert KINDS["x"].read(answer, {}).tolist() == [-1.5, -2.0]
