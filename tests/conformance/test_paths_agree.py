"""The same rows by every way in: the log-densities are the same, bit by bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tritonclient.grpc
import tritonclient.http
from click.testing import CliRunner
from tritonclient.grpc import service_pb2

from logdet import Client
from logdet.cli import main
from tests.bundles import NAMES, ordinary_rows
from tests.rpc import DENSITY, plain
from tests.tables import ARROW, CSV, arrow_bytes, csv_bytes, read_arrow, read_csv

Rows = np.ndarray
ROWS = 300


def rows() -> Rows:
    x = ordinary_rows(ROWS)
    x[7, 0] = np.nan
    x[11, 3] = 8.0
    return x


def native_json(x: Rows, url: str, _: str, __: Path) -> Any:
    body = [[None if np.isnan(v) else v for v in row] for row in x.tolist()]
    answer = httpx.post(f"{url}/v1/models/gauss/log_prob", json={"rows": body}).json()
    pairs = zip(answer["log_prob"], answer["status"], strict=True)
    return [(-np.inf if s == "out_of_support" else np.nan) if v is None else v for v, s in pairs]


def native_csv(x: Rows, url: str, _: str, __: Path) -> Any:
    body = csv_bytes(dict(zip(NAMES, x.T.tolist(), strict=True)))
    text = httpx.post(f"{url}/v1/models/gauss/log_prob", content=body, headers=CSV).text
    return [float(cell) if cell else np.nan for cell in read_csv(text)["log_prob"]]


def native_arrow(x: Rows, url: str, _: str, __: Path) -> Any:
    body = arrow_bytes(dict(zip(NAMES, x.T, strict=True)))
    answer = httpx.post(f"{url}/v1/models/gauss/log_prob", content=body, headers=ARROW)
    column = read_arrow(answer.content)["log_prob"]
    assert column.type == pa.float32()
    return column.to_numpy()


def oip_json(x: Rows, url: str, _: str, __: Path) -> Any:
    return _oip_http(x, url, binary=False)


def oip_binary(x: Rows, url: str, _: str, __: Path) -> Any:
    return _oip_http(x, url, binary=True)


def oip_bytes_alone(x: Rows, url: str, _: str, __: Path) -> Any:
    headers = {"inference-header-content-length": "0"}
    answer = httpx.post(f"{url}/v2/models/gauss/infer", content=x.tobytes(), headers=headers)
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:length])["outputs"][0]["name"] == "log_prob"
    return np.frombuffer(answer.content, np.float32, ROWS, offset=length)


def _oip_http(x: Rows, url: str, *, binary: bool) -> Any:
    with tritonclient.http.InferenceServerClient(url.removeprefix("http://")) as client:
        made = tritonclient.http.InferInput("x", list(x.shape), "FP64")
        made.set_data_from_numpy(x)  # the stock client's JSON has no NaN
        outputs = [tritonclient.http.InferRequestedOutput("log_prob", binary_data=binary)]
        outputs.append(tritonclient.http.InferRequestedOutput("status"))
        answer = client.infer("gauss", [made], outputs=outputs)
        got = answer.as_numpy("log_prob").copy()
        return got if binary else np.where(answer.as_numpy("status") == 2, -np.inf, got)


def grpc_raw(x: Rows, _: str, address: str, __: Path) -> Any:
    with tritonclient.grpc.InferenceServerClient(address) as client:
        made = tritonclient.grpc.InferInput("x", list(x.shape), "FP64")
        made.set_data_from_numpy(x)
        return client.infer("gauss", [made]).as_numpy("log_prob")


def grpc_typed(x: Rows, _: str, address: str, __: Path) -> Any:
    request = service_pb2.ModelInferRequest(model_name="gauss")
    told = request.inputs.add(name="x", datatype="FP64", shape=x.shape)
    told.contents.fp64_contents.extend(x.reshape(-1).tolist())
    with grpc.insecure_channel(address) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = service_pb2.ModelInferResponse.FromString(infer(request.SerializeToString()))
    return list(answer.outputs[0].contents.fp32_contents)


def grpc_density(x: Rows, _: str, address: str, __: Path) -> Any:
    matrix = plain("logdet.v1.Matrix")(rows=len(x), columns=x.shape[1], values=x.ravel().tolist())
    request = plain("logdet.v1.LogProbRequest")(model="gauss", rows=matrix)
    with grpc.insecure_channel(address) as channel:
        data = channel.unary_unary(f"/{DENSITY}/LogProb")(request.SerializeToString())
    return list(plain("logdet.v1.LogProbResponse").FromString(data).log_prob)


def client_http(x: Rows, url: str, _: str, __: Path) -> Any:
    with Client(url) as client:
        return client.log_prob("gauss", x).log_prob


def client_grpc(x: Rows, _: str, address: str, __: Path) -> Any:
    with Client(f"grpc://{address}") as client:
        return client.log_prob("gauss", x).log_prob


def command_line(x: Rows, _: str, __: str, folder: Path) -> Any:
    source, out = folder.parent / "agree.parquet", folder.parent / "agreed.parquet"
    pyarrow.parquet.write_table(pa.table(dict(zip(NAMES, x.T, strict=True))), source)
    command = ["score", "gauss", str(source), "-o", str(out), "--bundles", str(folder)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    return pyarrow.parquet.read_table(out)["log_prob"].to_numpy()


WAYS = (
    native_csv, native_arrow, oip_json, oip_binary, oip_bytes_alone, grpc_raw, grpc_typed,
    grpc_density, client_http, client_grpc, command_line,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_log_densities_are_bit_equal_by_every_way(
    engine: str, grpc_engine: str, bundles: Path, way: Callable[[Rows, str, str, Path], Any]
) -> None:
    x = rows()
    expected = np.array(native_json(x, engine, grpc_engine, bundles), np.float32)
    assert np.isnan(expected[7])
    assert expected[11] == -np.inf
    assert np.isfinite(np.delete(expected, [7, 11])).all()
    got = np.array(way(x, engine, grpc_engine, bundles), np.float32)
    np.testing.assert_array_equal(got, expected)
