"""The Open Inference Protocol over gRPC with its stock client, against any engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from tests.bundles import exact, ordinary_rows
from tests.variants import contexts, exact_given, rows_given


@pytest.fixture(scope="module")
def client(grpc_engine: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(grpc_engine) as client:
        yield client


def tensor(array: np.ndarray, datatype: str, name: str = "x") -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def rows(count: int) -> np.ndarray:
    return ordinary_rows(count)


def code(error: pytest.ExceptionInfo[InferenceServerException]) -> str:
    return str(error.value.status()).removeprefix("StatusCode.")


def test_the_server_says_what_it_is(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    told = client.get_server_metadata(as_json=True)
    assert told["name"] == "logdet"
    assert {"statistics", "model_configuration"} <= set(told["extensions"])


def test_every_model_describes_itself(client: triton.InferenceServerClient) -> None:
    for name in ("gauss", "gauss.sample", "given", "vae.log_prob_bound", "auto"):
        told = client.get_model_metadata(name)
        config = client.get_model_config(name).config
        assert client.is_model_ready(name)
        assert told.name == config.name == name
        assert [one.name for one in told.inputs] == [one.name for one in config.input]
        assert [one.name for one in told.outputs] == [one.name for one in config.output]
    assert list(client.get_model_metadata("gauss").versions) == ["1", "2"]
    assert client.get_model_metadata("gauss").inputs[0].shape == [-1, 4]


def test_log_densities_are_those_of_the_formula(client: triton.InferenceServerClient) -> None:
    x = rows(50)
    answer = client.infer("gauss", [tensor(x, "FP64")], request_id="a-7")
    np.testing.assert_allclose(answer.as_numpy("log_prob"), exact(x).log_prob, atol=1e-4)
    assert answer.as_numpy("z").shape == (50, 3)
    assert (answer.as_numpy("status") == 0).all()
    assert answer.get_response().id == "a-7"
    assert answer.get_response().model_version == "2"


def test_a_version_and_a_context_are_taken(client: triton.InferenceServerClient) -> None:
    answer = client.infer("gauss", [tensor(rows(1), "FP64")], model_version="1")
    assert answer.get_response().model_version == "1"
    context = contexts(5)
    x = rows_given(context)
    inputs = [tensor(x, "FP64"), tensor(context, "FP64", "context")]
    expected = exact_given(x, context).log_prob
    got = client.infer("given", inputs).as_numpy("log_prob")
    np.testing.assert_allclose(got, expected, atol=1e-4)


def typed(x: np.ndarray, datatype: str, field: str) -> Any:
    """A request whose values are in the message's own fields."""
    request = service_pb2.ModelInferRequest(model_name="gauss")
    told = request.inputs.add(name="x", datatype=datatype, shape=x.shape)
    getattr(told.contents, field).extend(x.reshape(-1).tolist())
    return request


@pytest.mark.parametrize(
    ("datatype", "field", "dtype"),
    [
        ("FP64", "fp64_contents", np.float64),
        ("FP32", "fp32_contents", np.float32),
        ("INT32", "int_contents", np.int32),
        ("INT64", "int64_contents", np.int64),
        ("UINT8", "uint_contents", np.uint8),
        ("UINT64", "uint64_contents", np.uint64),
    ],
)
def test_values_in_the_message_are_those_in_bytes(
    client: triton.InferenceServerClient,
    grpc_engine: str,
    datatype: str,
    field: str,
    dtype: type[np.generic],
) -> None:
    x = np.abs(rows(7)).astype(dtype)
    with grpc.insecure_channel(grpc_engine) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            service_pb2.ModelInferRequest.SerializeToString,
            service_pb2.ModelInferResponse.FromString,
        )
        answer = infer(typed(x, datatype, field), timeout=10)
    raw = client.infer("gauss", [tensor(x, datatype)])
    contents = {one.name: one.contents for one in answer.outputs}
    assert not answer.raw_output_contents  # as it was asked
    for name, of in (("log_prob", "fp32"), ("p_value", "fp64"), ("status", "uint")):
        got = list(getattr(contents[name], f"{of}_contents"))
        np.testing.assert_array_equal(np.array(got), raw.as_numpy(name))


def test_no_rows_and_many_rows_are_answered(client: triton.InferenceServerClient) -> None:
    assert client.infer("gauss", [tensor(rows(1)[:0], "FP64")]).as_numpy("z").shape == (0, 3)
    x = rows(100_000)
    outputs = [triton.InferRequestedOutput("log_prob")]
    answer = client.infer("gauss", [tensor(x, "FP64")], outputs=outputs)
    np.testing.assert_allclose(answer.as_numpy("log_prob"), exact(x).log_prob, atol=1e-4)


def test_outputs_come_in_the_order_asked_for(client: triton.InferenceServerClient) -> None:
    names = ["status", "z", "log_prob"]
    outputs = [triton.InferRequestedOutput(name) for name in names]
    answer = client.infer("gauss", [tensor(rows(3), "FP64")], outputs=outputs)
    assert [one.name for one in answer.get_response().outputs] == names


def test_parameters_reach_the_operation(client: triton.InferenceServerClient) -> None:
    count = tensor(np.array([4]), "INT64", "n")
    first, again, other = (
        client.infer("gauss.sample", [count], parameters={"seed": seed}).as_numpy("x")
        for seed in (3, "3", 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    scored = client.infer("gauss", [tensor(rows(2), "FP64")], parameters={"alpha": "0.05"})
    assert scored.get_response().parameters["alpha"].double_param == 0.05
    assert scored.get_response().parameters["density"].string_param == "exact"
    with pytest.raises(InferenceServerException, match=r"got both: alpha 0\.05 and fdr 0\.1"):
        client.infer(
            "gauss", [tensor(rows(2), "FP64")], parameters={"alpha": "0.05", "fdr": "0.1"}
        )


def test_values_that_are_not_finite_stay_what_they_are(
    client: triton.InferenceServerClient,
) -> None:
    x = rows(3)
    x[0, 0], x[1, 3] = np.nan, 8.0
    answer = client.infer("gauss", [tensor(x, "FP64")])
    assert answer.as_numpy("status").tolist() == [1, 2, 0]
    assert np.isnan(answer.as_numpy("log_prob")[0])
    assert answer.as_numpy("log_prob")[1] == -np.inf


def test_a_stream_answers_each_request_in_order(client: triton.InferenceServerClient) -> None:
    got: list[tuple[Any, Any]] = []
    client.start_stream(lambda result, error: got.append((result, error)))
    for count in (1, 2, 3):
        client.async_stream_infer("gauss", [tensor(rows(count), "FP64")], request_id=str(count))
    client.async_stream_infer("nobody", [tensor(rows(1), "FP64")])
    client.async_stream_infer("gauss", [tensor(rows(4), "FP64")], request_id="4")
    until = time.monotonic() + 20
    while len(got) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    client.stop_stream()
    assert [None if result is None else result.get_response().id for result, _ in got] == [
        "1", "2", "3", None, "4",
    ]  # fmt: skip
    assert "no model is named 'nobody'" in str(got[3][1])


def test_statistics_count_rows_runs_and_requests(client: triton.InferenceServerClient) -> None:
    def stats() -> Any:
        time.sleep(1.1)  # the page of several replicas is at most a second old
        return client.get_inference_statistics("gauss", "1").model_stats[0]

    before = stats()
    for count in (1, 10, 100):
        client.infer("gauss", [tensor(rows(count), "FP64")], model_version="1")
    with pytest.raises(InferenceServerException):
        client.infer("gauss", [tensor(rows(1)[:, :2], "FP64")], model_version="1")
    after = stats()
    assert after.inference_count - before.inference_count == 111
    assert after.execution_count - before.execution_count == 3
    took, took_before = after.inference_stats, before.inference_stats
    assert took.success.count - took_before.success.count == 3
    assert took.fail.count - took_before.fail.count == 1
    assert took.success.ns > took_before.success.ns


def test_the_repository_lists_loads_and_unloads(client: triton.InferenceServerClient) -> None:
    def states() -> dict[tuple[str, str], str]:
        index = client.get_model_repository_index()
        return {(one.name, one.version): one.state for one in index.models}

    assert states()["scorer", "1"] == "READY"
    assert states()["broken", "1"] == "UNAVAILABLE"
    client.unload_model("scorer")
    assert states()["scorer", "1"] == "UNAVAILABLE"
    client.load_model("scorer")
    assert client.is_model_ready("scorer")
    with pytest.raises(InferenceServerException) as refused:
        client.load_model("gauss", config="{}")
    assert code(refused) == "UNIMPLEMENTED"


def test_probes_of_a_kubelet_are_answered(grpc_engine: str) -> None:
    with grpc.insecure_channel(grpc_engine) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "gauss"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


REFUSED = [
    ("unknown model", "nobody", rows(1), {}, "NOT_FOUND", "no model is named 'nobody'"),
    ("unknown operation", "gauss.no", rows(1), {}, "NOT_FOUND", "gauss has: gauss, gauss.decode"),
    ("unknown version", "gauss", rows(1), {"model_version": "9"}, "NOT_FOUND", "no version 9"),
    ("too narrow", "gauss", rows(1)[:, :3], {}, "INVALID_ARGUMENT", "[-1, 4], got [1, 3]"),
    ("parameter", "gauss", rows(1), {"parameters": {"alhpa": 1}}, "INVALID_ARGUMENT", "alhpa"),
    ("too many", "gauss", np.zeros((262_145, 4)), {}, "RESOURCE_EXHAUSTED", "262144 rows"),
    ("too late", "gauss", rows(1), {"timeout": 1}, "DEADLINE_EXCEEDED", "within the 1e-06 s"),
    ("lacking context", "given", rows(1), {}, "INVALID_ARGUMENT", "inputs x, context of given"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "x", "more", "expected", "message"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_what_is_wrong_is_refused_in_a_sentence(
    client: triton.InferenceServerClient,
    model: str,
    x: np.ndarray,
    more: dict[str, Any],
    expected: str,
    message: str,
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer(model, [tensor(x, "FP64")], **more)
    assert code(refused) == expected
    assert message in refused.value.message()
    assert "Traceback" not in refused.value.message()


def test_a_client_that_does_not_wait_is_told_so(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("gauss", [tensor(rows(100_000), "FP64")], client_timeout=0.001)
    assert code(refused) == "DEADLINE_EXCEEDED"
