"""``inference.GRPCInferenceService``, asked by tritonclient and by messages of every shape."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient import grpc as triton
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as theirs
from tritonclient.utils import InferenceServerException

from service.config import ServiceConfig
from service.core import Core
from service.grpc.pool import message
from tests.bundles import exact, ordinary_rows, write_gaussian
from tests.latents import write_vae
from tests.rpc import INFERENCE, Rpc, kind_of, plain, plain_pool, serving


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    root: Path = tmp_path_factory.mktemp("bundles")
    write_gaussian(root, "gauss", 1)
    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "broken", golden_offset=1.0)
    write_vae(root)
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1, allow_loading=True))
    core.load()
    return core


@pytest.fixture(scope="module")
def rpc(core: Core) -> Iterator[Rpc]:
    with serving(core) as running:
        yield running


@pytest.fixture(scope="module")
def client(rpc: Rpc) -> Iterator[Any]:
    with triton.InferenceServerClient(rpc.address) as client:
        yield client


def tensor(array: NDArray[Any], datatype: str, name: str = "x") -> Any:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def test_both_packages_know_the_same_names_in_one_process() -> None:
    ours = message("inference.ModelInferRequest")
    assert ours.DESCRIPTOR.full_name == theirs.ModelInferRequest.DESCRIPTOR.full_name
    assert ours.DESCRIPTOR.file.pool is not theirs.ModelInferRequest.DESCRIPTOR.file.pool


def test_every_number_is_that_of_triton() -> None:
    # The protocol's own, and what is newer than the client installed here.
    others = {
        "inference.ModelMetadataResponse.properties",
        "inference.ModelStatistics.response_stats",
    }
    file = plain_pool().FindFileByName("inference.proto")
    triton_s = {**theirs.DESCRIPTOR.message_types_by_name}
    triton_s |= model_config_pb2.DESCRIPTOR.message_types_by_name
    compared = 0
    for name, our in file.message_types_by_name.items():
        if name == "InferResponseStatistics":
            continue
        for mine, field in fields_of(our):
            if field.full_name in others:
                continue
            their = descriptor_of(triton_s[name], mine)
            other = their.fields_by_name[field.name]
            assert (field.number, field.type) == (other.number, other.type), field.full_name
            compared += 1
    assert compared > 100
    enum = model_config_pb2.DESCRIPTOR.enum_types_by_name["DataType"]
    ours = file.enum_types_by_name["DataType"]
    assert [(v.name, v.number) for v in ours.values] == [(v.name, v.number) for v in enum.values]


def fields_of(descriptor: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Fields of a message and of those within it, with the names that lead there."""
    for field in descriptor.fields:
        yield path, field
    for nested in descriptor.nested_types:
        if not nested.GetOptions().map_entry:
            yield from fields_of(nested, *path, nested.name)


def descriptor_of(descriptor: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        descriptor = descriptor.nested_types_by_name[name]
    return descriptor


def test_the_service_tells_about_itself(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    found = client.get_server_metadata()
    assert found.name == "logdet"
    assert list(found.extensions) == [
        "binary_tensor_data",
        "model_configuration",
        "parameters",
        "statistics",
        "model_repository",
    ]


def test_a_model_tells_about_itself(client: Any) -> None:
    assert client.is_model_ready("gauss", "1")
    found = client.get_model_metadata("gauss")
    assert list(found.versions) == ["1", "2"]
    assert [(t.name, t.datatype, list(t.shape)) for t in found.inputs] == [("x", "FP64", [-1, 4])]
    config = client.get_model_config("gauss.decode").config
    assert config.name == "gauss.decode"
    assert config.max_batch_size == 262_144
    assert [(t.name, list(t.dims)) for t in config.input] == [("z", [3])]


def test_properties_are_told_to_those_who_know_them(rpc: Rpc) -> None:
    assert rpc.call(INFERENCE, "ModelMetadata", name="gauss").properties["density"] == "exact"


@pytest.mark.parametrize("name", ["nobody", "gauss.nothing", "broken"])
@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelConfig"])
def test_what_is_not_there_is_not_found(name: str, method: str, rpc: Rpc) -> None:
    error: Any = rpc.refused(INFERENCE, method, name=name)
    assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("rows", [1, 7, 0, 3000])
def test_rows_have_the_density_of_the_formula(rows: int, client: Any) -> None:
    x = ordinary_rows(rows)
    found = client.infer("gauss", [tensor(x, "FP64")], request_id="mine")
    np.testing.assert_allclose(found.as_numpy("log_prob"), exact(x).log_prob, atol=1e-4)
    assert found.as_numpy("z").shape == (rows, 3)
    response = found.get_response()
    assert (response.model_name, response.model_version, response.id) == ("gauss", "2", "mine")
    assert len(response.raw_output_contents) == len(response.outputs)
    assert response.parameters["density"].string_param == "exact"


def test_only_what_is_asked_for_comes_in_its_order(client: Any) -> None:
    asked = [triton.InferRequestedOutput(name) for name in ("status", "log_prob")]
    x = ordinary_rows(2)
    found = client.infer("gauss", [tensor(x, "FP64")], outputs=asked, model_version="1")
    assert [output.name for output in found.get_response().outputs] == ["status", "log_prob"]
    assert found.get_response().model_version == "1"


def test_parameters_go_both_ways(client: Any, rpc: Rpc) -> None:
    x = ordinary_rows(2)
    found = client.infer("gauss", [tensor(x, "FP64")], parameters={"alpha": "0.25"})
    assert found.get_response().parameters["alpha"].double_param == 0.25
    n = tensor(np.array([3], np.int64), "INT64", "n")
    drawn = client.infer("gauss.sample", [n], parameters={"seed": 7, "temperature": "0.5"})
    again = client.infer("gauss.sample", [n], parameters={"seed": 7, "temperature": "0.5"})
    precise = {"seed": {"uint64_param": 7}, "temperature": {"double_param": 0.5}}
    one = {"name": "n", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [3]}}
    answer = rpc.call(
        INFERENCE, "ModelInfer", model_name="gauss.sample", inputs=[one], parameters=precise
    )
    assert answer.outputs[0].contents.fp64_contents == drawn.as_numpy("x").ravel().tolist()
    assert drawn.get_response().parameters["seed"].int64_param == 7
    assert np.array_equal(drawn.as_numpy("x"), again.as_numpy("x"))


def test_a_stream_answers_in_order_and_goes_on_after_a_refusal(client: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    sizes = [3, 1, 0, 5]
    for number, rows in enumerate(sizes):
        x = ordinary_rows(rows)
        model = "nobody" if rows == 0 else "gauss"
        client.async_stream_infer(model, [tensor(x, "FP64")], request_id=str(number))
    found = [answers.get(timeout=10) for _ in sizes]
    client.stop_stream()
    assert [None if r is None else r.get_response().id for r, _ in found] == ["0", "1", None, "3"]
    assert [len(r.as_numpy("log_prob")) for r, e in found if e is None] == [3, 1, 5]
    assert isinstance(found[2][1], InferenceServerException)
    assert "no model is named 'nobody'" in str(found[2][1])


def test_an_idle_stream_does_not_hold_up_a_stop(core: Core) -> None:
    wait: queue.Queue[bytes] = queue.Queue()
    with serving(core) as rpc:
        call = rpc.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")(
            iter(wait.get, b""), timeout=20
        )
        kind = plain("inference.ModelInferRequest")
        wait.put(kind(model_name="nobody").SerializeToString())
        next(call)
        rpc.stop(grace_s=10)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        wait.put(b"")
    error: Any = caught.value
    assert (error.code(), kind_of(error)) == (grpc.StatusCode.UNAVAILABLE, "not_ready")


def test_statistics_count_rows(client: Any) -> None:
    def rows() -> int:
        (found,) = client.get_inference_statistics("gauss", "1").model_stats
        return int(found.inference_count)

    before = rows()
    client.infer("gauss", [tensor(ordinary_rows(9), "FP64")], model_version="1")
    assert rows() - before == 9
    names = {found.name for found in client.get_inference_statistics().model_stats}
    assert {"gauss", "gauss.sample", "vae"} <= names


def test_the_repository_lists_loads_and_unloads(client: Any) -> None:
    states = {(m.name, m.version): m.state for m in client.get_model_repository_index().models}
    assert states[("gauss", "1")] == "READY"
    assert states[("broken", "1")] == "UNAVAILABLE"
    client.unload_model("vae")
    assert not any(m.name == "vae" and m.state == "READY" for m in _ready(client))
    client.load_model("vae")
    assert any(m.name == "vae" and m.state == "READY" for m in _ready(client))
    with pytest.raises(InferenceServerException, match="upload"):
        client.load_model("vae", config="{}", files={"file:1/model.onnx": b"x"})


def _ready(client: Any) -> Any:
    return client.get_model_repository_index().models
