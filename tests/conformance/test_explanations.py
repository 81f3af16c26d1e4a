"""Explanations by every way in: the same contributions and the same nearest rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tritonclient.grpc
from click.testing import CliRunner
from numpy.typing import NDArray

from logdet import Client
from logdet.cli import main
from tests.bundles import NAMES, ordinary_rows
from tests.rpc import DENSITY, plain
from tests.tables import ARROW, CSV, arrow_bytes, csv_bytes, read_arrow, read_csv
from tests.variants import CONTEXT, contexts

Rows = NDArray[np.float64]
LINES = {"accept": "application/x-ndjson"}
OPTIONS = {"explain": True, "nearest": True}
TEXT = {"explain": "true", "nearest": "true"}
MATRICES = ("contribution", "nearest", "change")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and where it goes."""

    model: str
    x: Rows
    context: Rows | None
    url: str
    address: str
    bundles: Path

    @property
    def native(self) -> str:
        return f"{self.url}/v1/models/{self.model}/score"

    @property
    def columns(self) -> dict[str, Any]:
        given = {} if self.context is None else dict(zip(CONTEXT, self.context.T, strict=True))
        return dict(zip(NAMES, self.x.T, strict=True)) | given


Found = Mapping[str, Any]


def plain_rows(x: Rows) -> list[list[float | None]]:
    return [[None if np.isnan(v) else v for v in row] for row in x.tolist()]


def found(columns: Mapping[str, Any], told: Mapping[str, Any]) -> Found:
    """What is impossible is infinite in some ways, and null in others."""
    matrices = {name: np.array(columns[name], float) for name in MATRICES}
    matrices["contribution"][np.isinf(matrices["contribution"])] = np.nan
    near = np.array(columns["log_prob_nearest"], float)
    return matrices | {"log_prob_nearest": near} | {k: told.get(k) for k in ("method", "baseline")}


def of_columns(table: Mapping[str, Any], told: Mapping[str, Any]) -> Found:
    whole = {
        name: np.column_stack([np.array(table[f"{name}_{f}"], float) for f in NAMES])
        for name in MATRICES
    }
    return found({**whole, "log_prob_nearest": table["log_prob_nearest"]}, told)


def of_json(asked: Asked) -> Found:
    body = {"rows": plain_rows(asked.x), **OPTIONS}
    if asked.context is not None:
        body["context"] = asked.context.tolist()
    answer = httpx.post(asked.native, json=body, timeout=60).json()
    assert "error" not in answer, answer
    return found(answer, answer)


def of_csv(asked: Asked) -> Found:
    content = csv_bytes(asked.columns)
    answer = httpx.post(asked.native, content=content, headers=CSV, params=TEXT)
    table = {
        name: [float(cell) if cell else np.nan for cell in column]
        for name, column in read_csv(answer.text).items()
        if name.startswith((*MATRICES, "log_prob_nearest"))
    }
    return of_columns(table, json.loads(answer.headers["x-logdet-answer"]))


def of_arrow(asked: Asked) -> Found:
    content = arrow_bytes(asked.columns)
    answer = httpx.post(asked.native, content=content, headers=ARROW, params=TEXT)
    table = read_arrow(answer.content)
    told = json.loads(table.schema.metadata[b"logdet"])
    return of_columns({name: table[name].to_numpy() for name in table.column_names}, told)


def of_lines(asked: Asked) -> Found:
    content = arrow_bytes(asked.columns)
    answer = httpx.post(asked.native, content=content, headers=ARROW | LINES, params=TEXT)
    told, *rows, _ = map(json.loads, answer.text.splitlines())
    return of_columns({name: [row[name] for row in rows] for name in rows[0]}, told)


def of_oip_json(asked: Asked) -> Found:
    def tensor(name: str, x: Rows) -> dict[str, Any]:
        data = [None if np.isnan(v) else v for v in x.ravel().tolist()]
        return {"name": name, "shape": list(x.shape), "datatype": "FP64", "data": data}

    inputs = [tensor("x", asked.x)]
    if asked.context is not None:
        inputs.append(tensor("context", asked.context))
    url = f"{asked.url}/v2/models/{asked.model}/infer"
    answer = httpx.post(url, json={"inputs": inputs, "parameters": OPTIONS}, timeout=60).json()
    assert "error" not in answer, answer
    by_name = {
        one["name"]: np.array(one["data"], object).reshape(one["shape"])
        for one in answer["outputs"]
    }
    assert {"log_prob", "z", "p_value", "status"} < by_name.keys()
    return found(by_name, answer["parameters"])


def of_oip_grpc(asked: Asked) -> Found:
    given = {"x": asked.x} | ({} if asked.context is None else {"context": asked.context})
    inputs = []
    for name, x in given.items():
        inputs.append(tritonclient.grpc.InferInput(name, list(x.shape), "FP64"))
        inputs[-1].set_data_from_numpy(x)
    names = (*MATRICES, "log_prob_nearest")
    wanted = [tritonclient.grpc.InferRequestedOutput(name) for name in names]
    with tritonclient.grpc.InferenceServerClient(asked.address) as client:
        answer = client.infer(asked.model, inputs, outputs=wanted, parameters=TEXT)
    told = {}
    for name, value in answer.get_response().parameters.items():
        told[name] = getattr(value, value.WhichOneof("parameter_choice"))
    return found({name: answer.as_numpy(name) for name in names}, told)


def of_density(asked: Asked) -> Found:
    def matrix(x: Rows) -> Any:
        rows, columns = x.shape
        return plain("logdet.v1.Matrix")(rows=rows, columns=columns, values=x.ravel().tolist())

    given = {} if asked.context is None else {"context": matrix(asked.context)}
    request = plain("logdet.v1.ScoreRequest")(
        model=asked.model, rows=matrix(asked.x), explain="true", nearest=True, **given
    )
    with grpc.insecure_channel(asked.address) as channel:
        data = channel.unary_unary(f"/{DENSITY}/Score")(request.SerializeToString())
    answer = plain("logdet.v1.ScoreResponse").FromString(data)
    whole = {name: getattr(answer, name) for name in MATRICES}
    columns: dict[str, Any] = {
        name: np.array(m.values).reshape(m.rows, m.columns) for name, m in whole.items()
    }
    told = {n: getattr(answer, n) for n in ("method", "baseline") if answer.HasField(n)}
    return found(columns | {"log_prob_nearest": list(answer.log_prob_nearest)}, told)


def of_client(asked: Asked) -> Found:
    with Client(asked.url, chunk_rows=70) as client:
        answer = client.score(asked.model, asked.x, context=asked.context, **OPTIONS)
    return found(answer, answer.facts)


def of_grpc_client(asked: Asked) -> Found:
    with Client(f"grpc://{asked.address}", chunk_rows=70) as client:
        answer = client.score(asked.model, asked.x, context=asked.context, **OPTIONS)
    return found(answer, answer.facts)


def of_command(asked: Asked) -> Found:
    source, out = asked.bundles.parent / "why.parquet", asked.bundles.parent / "because.parquet"
    pyarrow.parquet.write_table(pa.table(asked.columns), source)
    command = ["score", asked.model, str(source), "-o", str(out), "--explain", "--nearest"]
    done = CliRunner().invoke(main, [*command, "--bundles", str(asked.bundles)])
    assert done.exit_code == 0, done.output
    table = pyarrow.parquet.read_table(out)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    reference = of_json(asked)  # a file has no place for what holds for all rows
    return of_columns(columns, reference)


WAYS = (
    of_csv, of_arrow, of_lines, of_oip_json, of_oip_grpc, of_density, of_client, of_grpc_client,
    of_command,
)  # fmt: skip


@pytest.fixture
def ask(engine: str, grpc_engine: str, bundles: Path) -> Callable[[str], Asked]:
    def asked(model: str) -> Asked:
        x = ordinary_rows(100, seed=8)
        x[3, 2], x[4, 3], x[5, 1] = 0.5, 7.2, np.nan
        x[-20:, 0] += np.linspace(5.0, 60.0, 20)
        context = contexts(100) if model == "given" else None
        return Asked(model, x, context, engine, grpc_engine, bundles)

    return asked


@pytest.mark.parametrize("model", ["gauss", "ordered", "given", "stepped"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_tells_the_same_reasons(
    ask: Callable[[str], Asked], way: Callable[[Asked], Found], model: str
) -> None:
    asked = ask(model)
    expected, got = of_json(asked), way(asked)
    assert expected["method"] == ("conditional" if model == "ordered" else "leave_one_out")
    assert np.isnan(expected["contribution"][[3, 4], [2, 3]]).all()
    assert (expected["contribution"][3, [0, 1, 3]] == 0.0).all()
    assert np.isfinite(expected["nearest"][[3, 4, *range(90, 100)]]).all()
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            assert got[name] == value, name


def test_outputs_of_the_open_protocol_are_there_only_where_a_parameter_asks(
    api: httpx.Client,
) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [10, -3, 40, 7.1]}
    body: dict[str, Any] = {"inputs": [tensor], "outputs": [{"name": "contribution"}]}
    refused = api.post("/v2/models/gauss/infer", json=body)
    assert refused.status_code == 400
    assert "no output 'contribution'" in refused.json()["error"]
    answered = api.post("/v2/models/gauss/infer", json=body | {"parameters": {"explain": True}})
    assert [output["name"] for output in answered.json()["outputs"]] == ["contribution"]
    outputs = {output["name"] for output in api.get("/v2/models/gauss").json()["outputs"]}
    assert outputs.isdisjoint({*MATRICES, "log_prob_nearest"})


@pytest.mark.parametrize("model", ["vae", "auto"])
def test_what_is_no_flow_refuses_by_the_name_of_the_field(api: httpx.Client, model: str) -> None:
    body = {"rows": ordinary_rows(1).tolist(), "explain": True}
    refused = api.post(f"/v1/models/{model}/score", json=body)
    assert refused.status_code == 400
    assert "unknown field 'explain'" in refused.json()["error"]
