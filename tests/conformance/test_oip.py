"""The Open Inference Protocol over HTTP with its stock client, against any engine."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.bundles import exact, ordinary_rows
from tests.variants import contexts, exact_given, rows_given

INFER = "/v2/models/gauss/infer"
MODELS = ("auto", "gauss", "given", "ordered", "plain", "scored", "scorer", "stepped", "vae")


@pytest.fixture(scope="module")
def client(engine: str) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(engine.removeprefix("http://"), concurrency=8)
    yield client
    client.close()


def tensor(
    array: np.ndarray, datatype: str, name: str = "x", *, binary: bool = True
) -> triton.InferInput:
    """An input as the stock client makes it."""
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def rows(count: int) -> np.ndarray:
    return ordinary_rows(count)


def as_json(x: np.ndarray, **more: Any) -> dict[str, Any]:
    data = x.tolist()
    return {
        "inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP64", "data": data}]
    } | more


def test_the_server_says_what_it_is(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    told = client.get_server_metadata()
    assert told["name"] == "logdet"
    assert sorted(told["extensions"]) == [
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "parameters",
        "statistics",
    ]


def test_paths_may_end_in_a_slash(api: httpx.Client) -> None:
    assert api.get("/v2/").json() == api.get("/v2").json()
    assert api.get("/v2/models/gauss/").json()["name"] == "gauss"


def test_every_model_describes_itself(
    client: triton.InferenceServerClient, api: httpx.Client
) -> None:
    names = api.get("/v2/models").json()["models"]
    assert set(MODELS) <= set(names)
    assert {"gauss.sample", "gauss.decode", "vae.log_prob_bound", "auto.reconstruct"} <= set(names)
    for name in names:
        told, config = client.get_model_metadata(name), client.get_model_config(name)
        assert client.is_model_ready(name)
        assert told["name"] == config["name"] == name
        for kind, configured in (("inputs", "input"), ("outputs", "output")):
            types = [f"TYPE_{one['datatype']}" for one in told[kind]]
            assert types == [one["data_type"] for one in config[configured]]
            if config["max_batch_size"]:
                for one, other in zip(told[kind], config[configured], strict=True):
                    assert one["shape"] == [-1, *other["dims"]] or other["dims"] == [1]


def test_versions_are_chosen_by_the_client(client: triton.InferenceServerClient) -> None:
    assert client.get_model_metadata("gauss")["versions"] == ["1", "2"]
    x = [tensor(rows(2), "FP64")]
    assert client.infer("gauss", x).get_response()["model_version"] == "2"
    assert client.infer("gauss", x, model_version="1").get_response()["model_version"] == "1"
    assert client.is_model_ready("gauss", "1")
    assert not client.is_model_ready("gauss", "7")


@pytest.mark.parametrize("binary", [True, False])
def test_log_densities_are_those_of_the_formula(
    client: triton.InferenceServerClient, *, binary: bool
) -> None:
    x = rows(50)
    answer = client.infer("gauss", [tensor(x, "FP64", binary=binary)])
    np.testing.assert_allclose(answer.as_numpy("log_prob"), exact(x).log_prob, atol=1e-4)
    assert answer.as_numpy("z").shape == (50, 3)
    assert answer.as_numpy("log_prob").dtype == np.float32
    assert (answer.as_numpy("status") == 0).all()
    assert answer.get_response()["parameters"]["density"] == "exact"


def test_json_and_binary_and_the_native_api_agree_bit_by_bit(
    client: triton.InferenceServerClient, api: httpx.Client
) -> None:
    x = rows(300)
    native = api.post("/v1/models/gauss/log_prob", json={"rows": x.tolist()}).json()["log_prob"]
    expected = np.array(native, np.float32)
    for given in (True, False):
        for wanted in (True, False):
            outputs = [triton.InferRequestedOutput("log_prob", binary_data=wanted)]
            answer = client.infer("gauss", [tensor(x, "FP64", binary=given)], outputs=outputs)
            np.testing.assert_array_equal(answer.as_numpy("log_prob"), expected)


def test_inputs_may_be_of_both_kinds_at_once(client: triton.InferenceServerClient) -> None:
    context = contexts(5)
    x = rows_given(context)
    inputs = [tensor(x, "FP64", binary=False), tensor(context, "FP64", "context")]
    answer = client.infer("given", inputs)
    expected = exact_given(x, context).log_prob
    np.testing.assert_allclose(answer.as_numpy("log_prob"), expected, atol=1e-4)


@pytest.mark.parametrize("datatype", ["INT64", "INT16", "UINT8", "FP16"])
def test_numbers_of_other_types_are_cast_exactly(
    client: triton.InferenceServerClient, api: httpx.Client, datatype: str
) -> None:
    dtype = {"INT64": np.int64, "INT16": np.int16, "UINT8": np.uint8, "FP16": np.float16}[datatype]
    x = np.abs(rows(4)).astype(dtype)
    answer = client.infer("ordered", [tensor(x, datatype)]).as_numpy("log_prob")
    body = {"rows": x.astype(np.float64).tolist()}
    native = api.post("/v1/models/ordered/log_prob", json=body).json()["log_prob"]
    expected = [-np.inf if value is None else value for value in native]
    np.testing.assert_array_equal(answer, np.array(expected, np.float32))


def test_single_precision_is_judged_alike_alone_and_beside_doubles(
    client: triton.InferenceServerClient,
) -> None:
    """The constant 7.1 is no float32; a row that shares its run with doubles keeps its answer."""
    x = rows(64)
    single = tensor(x.astype(np.float32), "FP32")
    alone = client.infer("gauss", [single])
    assert (alone.as_numpy("status") == 0).all()
    np.testing.assert_allclose(alone.as_numpy("log_prob"), exact(x).log_prob, atol=1e-4)
    waiting = [client.async_infer("gauss", [one]) for one in [single, tensor(x, "FP64")] * 20]
    for one in waiting:
        assert (one.get_result().as_numpy("status") == 0).all()


def test_what_cannot_be_cast_is_refused(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"at most 2\*\*53"):
        client.infer("gauss", [tensor(np.full((1, 4), 2**60), "INT64")])
    with pytest.raises(InferenceServerException, match="another type of numbers"):
        client.infer("gauss", [tensor(np.full((1, 4), b"1", object), "BYTES")])


def test_no_rows_are_answered_with_no_rows(client: triton.InferenceServerClient) -> None:
    none = [tensor(rows(1)[:0], "FP64")]
    answer = client.infer("gauss", none)
    assert answer.as_numpy("log_prob").shape == (0,)
    assert answer.as_numpy("z").shape == (0, 3)
    some = client.infer("gauss", [tensor(rows(2), "FP64")])
    assert answer.get_response()["parameters"] == some.get_response()["parameters"]
    for name in ("vae", "vae.encode", "vae.log_prob_bound", "vae.reconstruct", "auto"):
        assert client.infer(name, none).as_numpy("status").shape == (0,)
    with pytest.raises(InferenceServerException, match="alpha"):
        client.infer("gauss", none, parameters={"alpha": 7.0})


def test_many_rows_are_answered_whole(client: triton.InferenceServerClient) -> None:
    x = rows(100_000)
    outputs = [triton.InferRequestedOutput("log_prob")]
    answer = client.infer("gauss", [tensor(x, "FP64")], outputs=outputs).as_numpy("log_prob")
    np.testing.assert_allclose(answer, exact(x).log_prob, atol=1e-4)


def test_outputs_come_in_the_order_asked_for(client: triton.InferenceServerClient) -> None:
    names = ["status", "z", "log_prob"]
    outputs = [triton.InferRequestedOutput(name, binary_data=name == "z") for name in names]
    answer = client.infer("gauss", [tensor(rows(3), "FP64")], outputs=outputs, request_id="a-7")
    got = answer.get_response()
    assert [output["name"] for output in got["outputs"]] == names
    assert got["id"] == "a-7"
    assert "data" not in got["outputs"][1]


def test_an_empty_id_is_none(api: httpx.Client) -> None:
    response = api.post(INFER, json=as_json(rows(1), id=""))
    assert response.status_code == 200
    assert "id" not in response.json()


def test_values_that_are_not_finite_stay_what_they_are(
    client: triton.InferenceServerClient, api: httpx.Client
) -> None:
    x = rows(3)
    x[1, 0] = np.nan
    answer = client.infer("gauss", [tensor(x, "FP64")])
    assert answer.as_numpy("status").tolist() == [0, 1, 0]
    assert np.isnan(answer.as_numpy("log_prob")[1])
    body = as_json(rows(3))
    body["inputs"][0]["data"][1][0] = None
    outputs = {one["name"]: one["data"] for one in api.post(INFER, json=body).json()["outputs"]}
    assert outputs["status"] == [0, 1, 0]
    assert outputs["log_prob"][1] is None


def test_rows_may_come_as_bytes_and_nothing_else(api: httpx.Client) -> None:
    x = rows(6)
    headers = {"inference-header-content-length": "0"}
    response = api.post(INFER, content=x.tobytes(), headers=headers)
    answer = triton.InferResult.from_response_body(
        response.content,
        header_length=int(response.headers["inference-header-content-length"]),
    )
    np.testing.assert_allclose(answer.as_numpy("log_prob"), exact(x).log_prob, atol=1e-4)
    refused = api.post(INFER, content=x.tobytes()[:-3], headers=headers)
    assert refused.status_code == 400
    assert "whole rows of 4 FP64 values (32 bytes each)" in refused.json()["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bodies_may_be_compressed_both_ways(
    client: triton.InferenceServerClient, encoding: str
) -> None:
    x = rows(500)
    answer = client.infer(
        "gauss",
        [tensor(x, "FP64")],
        request_compression_algorithm=encoding,
        response_compression_algorithm=encoding,
    )
    np.testing.assert_allclose(answer.as_numpy("log_prob"), exact(x).log_prob, atol=1e-4)


def test_an_answer_is_compressed_only_where_it_is_asked_for(api: httpx.Client) -> None:
    body = as_json(rows(200))
    plain = api.post(INFER, json=body, headers={"accept-encoding": "identity"})
    small = api.post(INFER, json=body, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.json() == plain.json()


def test_parameters_reach_the_operation(client: triton.InferenceServerClient) -> None:
    count = tensor(np.array([4]), "INT64", "n")
    drawn = [
        client.infer("gauss.sample", [count], parameters=parameters)
        for parameters in (
            {"seed": 3},
            {"seed": "3"},
            {"seed": 4},
            {"seed": 3, "temperature": 0.0},
        )
    ]
    values = [one.as_numpy("x") for one in drawn]
    np.testing.assert_array_equal(values[0], values[1])
    assert (values[0] != values[2]).any()
    assert (values[3] == values[3][0]).all()
    assert drawn[0].get_response()["parameters"]["seed"] == 3
    scored = client.infer("gauss", [tensor(rows(2), "FP64")], parameters={"alpha": 0.05})
    assert scored.get_response()["parameters"]["alpha"] == 0.05


def test_every_operation_is_a_model(
    client: triton.InferenceServerClient, api: httpx.Client
) -> None:
    x = tensor(rows(3), "FP64")
    z = client.infer("gauss", [x]).as_numpy("z")
    back = client.infer("gauss.decode", [tensor(z, "FP32", "z")]).as_numpy("x")
    np.testing.assert_allclose(back[:, 0], rows(3)[:, 0], atol=1e-3)
    for name in ("vae", "vae.encode", "vae.reconstruct", "auto", "auto.encode", "ordered"):
        answer = client.infer(name, [x]).get_response()
        told = client.get_model_metadata(name)
        assert [one["name"] for one in answer["outputs"]] == [o["name"] for o in told["outputs"]]
        for got, said in zip(answer["outputs"], told["outputs"], strict=True):
            assert got["datatype"] == said["datatype"]
            assert got["shape"] == [3, *said["shape"][1:]]
    bound = client.infer("vae.log_prob_bound", [x], parameters={"samples": 32, "seed": 5})
    native = api.post(
        "/v1/models/vae/log_prob_bound", json={"rows": rows(3).tolist(), "samples": 32, "seed": 5}
    ).json()
    assert bound.as_numpy("importance_bound").tolist() == native["importance_bound"]
    assert bound.get_response()["parameters"]["density"] == "lower_bound"


def test_p_values_are_those_of_the_native_api(
    client: triton.InferenceServerClient, api: httpx.Client
) -> None:
    x = rows(20)
    native = api.post("/v1/models/gauss/score", json={"rows": x.tolist(), "alpha": 0.1}).json()
    outputs = [triton.InferRequestedOutput(name) for name in ("p_value", "is_anomaly")]
    got = client.infer("gauss", [tensor(x, "FP64")], outputs=outputs, parameters={"alpha": "0.1"})
    assert got.as_numpy("p_value").tolist() == native["p_value"]
    assert got.as_numpy("is_anomaly").tolist() == native["is_anomaly"]
    assert got.get_response()["parameters"]["threshold"] == native["threshold"]


def test_statistics_count_rows_runs_and_requests(client: triton.InferenceServerClient) -> None:
    def stats() -> dict[str, Any]:
        time.sleep(1.1)  # the page of several replicas is at most a second old
        return client.get_inference_statistics("gauss", "1")["model_stats"][0]

    before = stats()
    for count in (1, 10, 100):
        client.infer("gauss", [tensor(rows(count), "FP64")], model_version="1")
    with pytest.raises(InferenceServerException):
        client.infer("gauss", [tensor(rows(1)[:, :2], "FP64")], model_version="1")
    after = stats()

    def more(name: str, kind: str) -> int:
        return after["inference_stats"][name][kind] - before["inference_stats"][name][kind]

    assert after["inference_count"] - before["inference_count"] == 111
    assert after["execution_count"] - before["execution_count"] == 3
    assert more("success", "count") == 3
    assert more("fail", "count") == 1
    assert more("queue", "count") == more("compute_infer", "count") == 3
    assert more("success", "ns") > more("compute_infer", "ns") > 0
    assert 0 <= time.time() - after["last_inference"] / 1000 < 60
    assert {one["name"] for one in client.get_inference_statistics()["model_stats"]} >= set(MODELS)


def test_the_repository_lists_loads_and_unloads(client: triton.InferenceServerClient) -> None:
    def states() -> dict[tuple[str, str], str]:
        index = client.get_model_repository_index()
        return {(one["name"], one["version"]): one["state"] for one in index}

    assert states()["scorer", "1"] == "READY"
    assert states()["broken", "1"] == "UNAVAILABLE"
    client.unload_model("scorer")
    assert states()["scorer", "1"] == "UNAVAILABLE"
    assert not client.is_model_ready("scorer")
    assert client.is_model_ready("gauss")
    client.load_model("scorer")
    assert states()["scorer", "1"] == "READY"
    assert len(client.infer("scorer", [tensor(rows(2), "FP64")]).as_numpy("log_prob")) == 2
    with pytest.raises(InferenceServerException, match="refused, so that nothing was changed"):
        client.load_model("broken")
    with pytest.raises(InferenceServerException, match="no bundle is named"):
        client.load_model("nobody")


def test_uploads_are_refused(api: httpx.Client) -> None:
    body = {"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}
    response = api.post("/v2/repository/models/gauss/load", json=body)
    assert response.status_code == 501
    assert "own folder" in response.json()["error"]


JSON = {"content-type": "application/json"}
ROW = [0.0, 1.0, 2.0, 3.0]


def one(**changes: Any) -> dict[str, Any]:
    """A good request with something changed in its only tensor."""
    good = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": ROW}
    merged = {key: value for key, value in (good | changes).items() if value is not None}
    return {"inputs": [merged]}


REFUSED = [
    ("not JSON", "{", 400, "expected JSON"),
    ("no object", "[]", 400, "JSON object"),
    ("bytes", "\x01\x02", 400, "raw values need the header"),
    ("no inputs", {}, 400, "'inputs' as a list"),
    ("another name", one(name="y"), 400, "expected the inputs x of gauss, got y"),
    ("twice", {"inputs": one()["inputs"] * 2}, 400, "expected the inputs x"),
    ("too narrow", one(shape=[1, 3], data=ROW[:3]), 400, "shape [-1, 4], got [1, 3]"),
    ("one axis", one(shape=[4]), 400, "shape [-1, 4], got [4]"),
    ("too few values", one(data=ROW[:3]), 400, "expected 4 values"),
    ("ragged", one(data=[ROW[:3]]), 400, "nested as its shape"),
    ("negative size", one(shape=[-1, 4]), 400, "a shape of sizes"),
    ("huge size", one(shape=[4, 2**62]), 400, "a shape of sizes"),
    ("too many rows", one(shape=[2**62, 4]), 413, "at most 262144 rows"),
    ("text", one(data=["a", 1, 2, 3]), 400, "got text"),
    ("a boolean", one(data=[True, 1, 2, 3]), 400, "got a boolean"),
    ("fractions as INT64", one(datatype="INT64", data=[0.5, 1, 2, 3]), 400, "with a fraction"),
    ("beyond UINT8", one(datatype="UINT8", data=[256, 1, 2, 3]), 400, "does not fit UINT8"),
    ("FP16 as JSON", one(datatype="FP16"), 400, "as binary data"),
    ("no such type", one(datatype="FP128"), 400, "another type of numbers"),
    ("no data", one(data=None), 400, "got neither"),
    ("both", one(parameters={"binary_data_size": 32}), 400, "got both"),
    ("no bytes", one(data=None, parameters={"binary_data_size": 32}), 400, "32 additional bytes"),
    ("another output", one() | {"outputs": [{"name": "y"}]}, 400, "no output 'y'; it has: log"),
    ("unknown parameter", one() | {"parameters": {"alhpa": 1}}, 400, "unknown parameter 'alhpa'"),
    ("bad alpha", one() | {"parameters": {"alpha": 2}}, 400, "alpha"),
    ("bad fdr", one() | {"parameters": {"fdr": "1"}}, 400, "expected fdr between 0 and 1"),
    ("alpha and fdr", one() | {"parameters": {"alpha": 0.1, "fdr": "0.2"}}, 400, "got both"),
    ("classification", one() | {"outputs": [{"name": "z", "parameters": {"classification": 1}}]},
     501, "classification are not offered"),
    ("too late", one() | {"parameters": {"timeout": 1}}, 504, "within the 1e-06 s"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "message"), [r[1:] for r in REFUSED],
                         ids=[r[0] for r in REFUSED])  # fmt: skip
def test_what_is_wrong_is_refused_in_a_sentence(
    api: httpx.Client, body: Any, status: int, message: str
) -> None:
    given = {"content": body} if isinstance(body, str) else {"json": body}
    response = api.post(INFER, headers=JSON, **given)
    assert response.status_code == status, response.text
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nobody/infer", 404),
        ("/v2/models/gauss.nothing/infer", 404),
        ("/v2/models/gauss/versions/9/infer", 404),
        ("/v2/models/gauss/versions/x/infer", 404),
        ("/v2/nothing", 404),
        ("/v2/health/ready", 405),
    ],
)
def test_what_is_not_there_is_not_found(api: httpx.Client, path: str, status: int) -> None:
    response = api.post(path, json=one())
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"inference-header-content-length": "x"}, 400),
        ({"inference-header-content-length": "-1"}, 400),
        ({"inference-header-content-length": "100000"}, 400),
        ({"content-encoding": "br"}, 415),
    ],
)
def test_headers_that_are_wrong_are_refused(
    api: httpx.Client, headers: dict[str, str], status: int
) -> None:
    response = api.post(INFER, json=one(), headers=headers)
    assert response.status_code == status
    assert response.json()["error"]


def test_bytes_that_are_left_over_are_refused(api: httpx.Client) -> None:
    x = rows(2).tobytes()
    raw = one(shape=[2, 4], data=None, parameters={"binary_data_size": 64})
    head = json.dumps(raw).encode()
    headers = {"inference-header-content-length": str(len(head))}
    assert api.post(INFER, content=head + x, headers=headers).status_code == 200
    response = api.post(INFER, content=head + x + b"more", headers=headers)
    assert response.status_code == 400
    assert "unexpected additional input data: 4 bytes" in response.json()["error"]


def test_too_much_is_refused_with_413(api: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (65 * 2**20))
    response = api.post(INFER, content=bomb, headers={"content-encoding": "gzip"})
    assert response.status_code == 413
    x = np.zeros((262_145, 4))
    headers = {"inference-header-content-length": "0"}
    many = api.post(INFER, content=x.tobytes(), headers=headers)
    assert many.status_code == 413
    assert "at most 262144 rows" in many.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        one() | {"outputs": [{"name": "z"}, {"name": "z"}]},
        one(shape=[0, 2**62], data=[]),
        one(shape=[1] * 9, data=[1.0]),
        one() | {"parameters": {"alpha": "0.0_1"}},
        one() | {"outputs": {}},
    ],
)
def test_odd_requests_are_refused_and_no_failure(api: httpx.Client, body: Any) -> None:
    response = api.post(INFER, json=body)
    assert response.status_code == 400
    assert response.json()["kind"] == "invalid_input"


def test_shared_memory_is_refused_where_it_is_asked_for(api: httpx.Client) -> None:
    parameters = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    for body in (
        one(data=None, parameters=parameters),
        one() | {"outputs": [{"name": "z", "parameters": parameters}]},
    ):
        response = api.post(INFER, json=body)
        assert response.status_code == 501
        assert "shared memory" in response.json()["error"]


def test_a_model_that_decides_nothing_takes_no_alpha(api: httpx.Client) -> None:
    for outputs in ([{"name": "status"}], [{"name": "log_prob"}]):
        response = api.post("/v2/models/scorer/infer", json=one() | {"outputs": outputs})
        assert response.status_code == 200, response.text
    for name in ("alpha", "fdr"):
        body = one() | {"parameters": {name: 0.3}}
        assert api.post("/v2/models/vae.encode/infer", json=body).status_code == 400


def test_too_many_rows_are_refused_before_their_values_are_read(api: httpx.Client) -> None:
    body = one(shape=[300_000, 4], data=[])
    response = api.post(INFER, json=body)
    assert response.status_code == 413
    assert "at most 262144 rows" in response.json()["error"]


@pytest.mark.parametrize("operation", ["", ".decode", ".sample"])
def test_a_context_in_single_precision_is_what_it_means(
    client: triton.InferenceServerClient, operation: str
) -> None:
    """The constant 0.3 of the context is no float32."""
    context = contexts(3).astype(np.float32)
    given = {
        "": tensor(rows_given(contexts(3)), "FP64"),
        ".decode": tensor(np.zeros((3, 3), np.float32), "FP32", "z"),
        ".sample": tensor(np.array([3]), "INT64", "n"),
    }[operation]
    answer = client.infer("given" + operation, [given, tensor(context, "FP32", "context")])
    assert answer.as_numpy("status").tolist() == [0, 0, 0]


def test_the_index_tells_no_path(api: httpx.Client) -> None:
    entries = {one["name"]: one for one in api.post("/v2/repository/index").json()}
    assert entries["broken"]["reason"] == "refused when it was loaded; the service's log says why"
