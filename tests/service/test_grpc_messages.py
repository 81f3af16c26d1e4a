"""Messages of ``inference.GRPCInferenceService`` of every shape, right and wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from service.config import ServiceConfig
from service.core import Core
from service.oip.tensors import DTYPES
from tests.bundles import exact, ordinary_rows, write_gaussian
from tests.rpc import INFERENCE, Rpc, kind_of, plain, serving


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    root: Path = tmp_path_factory.mktemp("bundles")
    write_gaussian(root)
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1))
    core.load()
    with serving(core) as running:
        yield running


TYPED: dict[str, tuple[str, str, list[Any]]] = {
    "FP32": ("FP32", "fp32_contents", [10.0, -3.0, 40.0, 7.1]),
    "FP64": ("FP64", "fp64_contents", [10.0, -3.0, 40.0, 7.1]),
    "INT32": ("INT32", "int_contents", [10, -3, 40, 7]),
    "INT8": ("INT8", "int_contents", [10, -3, 40, 7]),
    "INT64": ("INT64", "int64_contents", [10, -3, 40, 7]),
    "UINT8": ("UINT8", "uint_contents", [10, 3, 40, 7]),
    "UINT64": ("UINT64", "uint64_contents", [10, 3, 40, 7]),
}


def typed(field: str, datatype: str, values: list[Any], **more: Any) -> dict[str, Any]:
    one = {"name": "x", "datatype": datatype, "shape": [1, 4], "contents": {field: values}}
    return {"model_name": "gauss", "inputs": [one | more]}


@pytest.mark.parametrize("name", TYPED)
def test_typed_contents_are_answered_in_typed_contents(name: str, rpc: Rpc) -> None:
    datatype, field, values = TYPED[name]
    answer = rpc.call(INFERENCE, "ModelInfer", **typed(field, datatype, values))
    found = {output.name: output.contents for output in answer.outputs}
    assert len(answer.raw_output_contents) == 0
    x = np.array([values], np.float64)
    # A constant column of 7.1 is out of support at 7.
    expected = exact(x).log_prob[0] if values[3] == 7.1 else -np.inf
    assert found["log_prob"].fp32_contents[0] == pytest.approx(expected, abs=1e-4)
    assert len(found["p_value"].fp64_contents) == 1
    assert len(found["is_anomaly"].bool_contents) == 1
    assert len(found["status"].uint_contents) == 1
    assert list(next(o.shape for o in answer.outputs if o.name == "z")) == [1, 3]


def test_raw_and_typed_give_the_same_bits(rpc: Rpc) -> None:
    x = ordinary_rows(50)
    one = {"name": "x", "datatype": "FP64", "shape": [50, 4]}
    raw = rpc.call(
        INFERENCE,
        "ModelInfer",
        model_name="gauss",
        inputs=[one],
        raw_input_contents=[x.astype("<f8").tobytes()],
    )
    request = typed("fp64_contents", "FP64", x.ravel().tolist(), shape=[50, 4])
    answer = rpc.call(INFERENCE, "ModelInfer", **request)
    assert len(raw.raw_output_contents) == len(raw.outputs) == len(answer.outputs)
    for output, there, data in zip(
        answer.outputs, raw.outputs, raw.raw_output_contents, strict=True
    ):
        assert (output.name, output.shape) == (there.name, there.shape)
        ((_, values),) = output.contents.ListFields()
        assert np.array(values, DTYPES[there.datatype]).tobytes() == data


GOOD = {"name": "x", "datatype": "FP64", "shape": [1, 4]}
RAW = [bytes(32)]
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "raw and contents": (
        typed("fp64_contents", "FP64", [1.0] * 4) | {"raw_input_contents": RAW},
        "invalid_input",
        "got both: 'x' has contents",
    ),
    "fewer raw than inputs": (
        {"inputs": [GOOD, GOOD], "raw_input_contents": RAW},
        "invalid_input",
        "for each of 2 inputs, got 1",
    ),
    "more raw than inputs": ({"raw_input_contents": RAW}, "invalid_input", "got 1"),
    "too few bytes": (
        {"inputs": [GOOD], "raw_input_contents": [bytes(31)]},
        "invalid_input",
        "32 bytes",
    ),
    "too few values": (typed("fp64_contents", "FP64", [1.0]), "invalid_input", "32 bytes"),
    "another field": (
        typed("fp32_contents", "FP64", [1.0] * 4),
        "invalid_input",
        "in fp64_contents, as it is FP64, got fp32_contents",
    ),
    "out of range": (typed("int_contents", "INT8", [1, 2, 3, 300]), "invalid_input", "INT8"),
    "half precision": (typed("fp32_contents", "FP16", [1.0] * 4), "invalid_input", "FP16"),
    "no datatype": (typed("fp32_contents", "float", [1.0] * 4), "invalid_input", "float"),
    "negative size": (
        typed("fp64_contents", "FP64", [], shape=[-1, 4]),
        "invalid_input",
        "shape",
    ),
    "vast size": (
        typed("fp64_contents", "FP64", [], shape=[2, 2**62]),
        "invalid_input",
        "shape",
    ),
    "no inputs": ({}, "invalid_input", "expected the inputs x"),
    "unknown output": (
        typed("fp64_contents", "FP64", [1.0] * 4) | {"outputs": [{"name": "y"}]},
        "invalid_input",
        "'y'",
    ),
    "parameter without a value": (
        typed("fp64_contents", "FP64", [1.0] * 4) | {"parameters": {"alpha": {}}},
        "invalid_input",
        "expected a value of the parameter 'alpha'",
    ),
    "shared memory": (
        typed(
            "fp64_contents",
            "FP64",
            [],
            parameters={"shared_memory_region": {"string_param": "r"}},
        ),
        "unsupported",
        "shared memory",
    ),
    "another version": (
        typed("fp64_contents", "FP64", [1.0] * 4) | {"model_version": "9"},
        "not_found",
        "no version 9",
    ),
    "a version that is none": (
        typed("fp64_contents", "FP64", [1.0] * 4) | {"model_version": "new"},
        "not_found",
        "'new'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, rpc: Rpc) -> None:
    fields, kind, words = REFUSED[name]
    error: Any = rpc.refused(INFERENCE, "ModelInfer", **{"model_name": "gauss"} | fields)
    assert kind_of(error) == kind
    assert words in error.details()


def test_a_stream_says_which_request_it_refused_and_reads_on_after_rubbish(rpc: Rpc) -> None:
    good = typed("fp64_contents", "FP64", [10.0, -3.0, 40.0, 7.1]) | {"id": "c"}
    kind = plain("inference.ModelInferRequest")
    sent = [
        kind(model_name="nobody", id="a").SerializeToString(),
        b"\xff",
        kind(**good).SerializeToString(),
    ]
    call = rpc.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")(iter(sent), timeout=10)
    got = [plain("inference.ModelStreamInferResponse").FromString(data) for data in call]
    assert [answer.infer_response.id for answer in got] == ["a", "", "c"]
    assert [bool(answer.error_message) for answer in got] == [True, True, False]


def test_no_change_of_a_byte_makes_the_service_fail(rpc: Rpc) -> None:
    good = typed("fp64_contents", "FP64", [10.0, -3.0, 40.0, 7.1]) | {"outputs": [{"name": "z"}]}
    data = plain("inference.ModelInferRequest")(**good).SerializeToString()
    codes = set()
    for place in range(len(data)):
        for value in (0, 1, 0x7F, 0xFF):
            changed = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                rpc.raw(INFERENCE, "ModelInfer", changed)
            except grpc.RpcError as error:
                codes.add(error.code())  # type: ignore[attr-defined]
    expected = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert expected <= codes <= expected | {grpc.StatusCode.UNIMPLEMENTED}
