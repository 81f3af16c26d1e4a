"""Decisions by every way in: the same anomalies, and what an auditor needs to follow them."""

from __future__ import annotations

import hashlib
import json
import re
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
import tritonclient.http
from click.testing import CliRunner
from numpy.typing import NDArray

from logdet import Client
from logdet.cli import main
from tests.bundles import CALIBRATION_ROWS, NAMES, calibration_of, exact, ordinary_rows
from tests.linear_gaussian import rows as linear_rows
from tests.rpc import DENSITY, plain
from tests.tables import ARROW, CSV, arrow_bytes, csv_bytes, read_arrow, read_csv

Rows = NDArray[np.float64]
Rates = Mapping[str, float]
LINES = {"accept": "application/x-ndjson"}
ROWS, MANY = 300, 9000  # the second in several runs, and as lines in several pieces
TOLD = ("calibration", "threshold", "alpha", "fdr")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and where it goes."""

    model: str
    x: Rows
    rates: Rates
    url: str
    address: str
    bundles: Path

    @property
    def native(self) -> str:
        return f"{self.url}/v1/models/{self.model}/score"

    @property
    def columns(self) -> dict[str, Any]:
        return dict(zip(NAMES, self.x.T, strict=True))


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: of each row, and of all of them; False where a row has no p-value."""

    p_value: Any
    is_anomaly: Any
    told: Mapping[str, Any]


def of_json(asked: Asked) -> Found:
    rows = [[None if np.isnan(v) else v for v in row] for row in asked.x.tolist()]
    answer = httpx.post(asked.native, json={"rows": rows, **asked.rates}, timeout=60).json()
    assert "error" not in answer, answer
    return found(answer["p_value"], answer["is_anomaly"], answer)


def of_csv(asked: Asked) -> Found:
    content = csv_bytes(asked.columns)
    answer = httpx.post(asked.native, content=content, headers=CSV, params=dict(asked.rates))
    table = read_csv(answer.text)
    p_value = [float(cell) if cell else None for cell in table["p_value"]]
    told = json.loads(answer.headers["x-logdet-answer"])
    return found(p_value, [cell == "true" for cell in table["is_anomaly"]], told)


def of_arrow(asked: Asked) -> Found:
    content = arrow_bytes(asked.columns)
    answer = httpx.post(asked.native, content=content, headers=ARROW, params=dict(asked.rates))
    table = read_arrow(answer.content)
    told = json.loads(table.schema.metadata[b"logdet"])
    return found(table["p_value"].to_numpy(), table["is_anomaly"].to_pylist(), told)


def of_lines(asked: Asked) -> Found:
    content = arrow_bytes(asked.columns)
    headers = ARROW | LINES
    answer = httpx.post(asked.native, content=content, headers=headers, params=dict(asked.rates))
    told, *rows, end = map(json.loads, answer.text.splitlines())
    assert end == {"rows": len(asked.x)}
    columns = ([row[name] for row in rows] for name in ("p_value", "is_anomaly"))
    return found(*columns, told)


def of_oip_json(asked: Asked) -> Found:
    data = [None if np.isnan(v) else v for v in asked.x.ravel().tolist()]
    tensor = {"name": "x", "shape": list(asked.x.shape), "datatype": "FP64", "data": data}
    body = {"inputs": [tensor], "parameters": asked.rates}
    url = f"{asked.url}/v2/models/{asked.model}/infer"
    answer = httpx.post(url, json=body, timeout=60).json()
    by_name = {output["name"]: output["data"] for output in answer["outputs"]}
    told = {"model": answer["model_name"], "version": int(answer["model_version"])}
    return found(by_name["p_value"], by_name["is_anomaly"], told | answer["parameters"])


def of_oip_grpc(asked: Asked) -> Found:
    with tritonclient.grpc.InferenceServerClient(asked.address) as client:
        made = tritonclient.grpc.InferInput("x", list(asked.x.shape), "FP64")
        made.set_data_from_numpy(asked.x)
        text = {name: str(value) for name, value in asked.rates.items()}
        answer = client.infer(asked.model, [made], parameters=text)
    response = answer.get_response()
    told = {"model": response.model_name, "version": int(response.model_version)}
    for name, value in response.parameters.items():
        told[name] = getattr(value, value.WhichOneof("parameter_choice"))
    return found(answer.as_numpy("p_value"), answer.as_numpy("is_anomaly"), told)


def of_density(asked: Asked) -> Found:
    rows, columns = asked.x.shape
    matrix = plain("logdet.v1.Matrix")(rows=rows, columns=columns, values=asked.x.ravel().tolist())
    request = plain("logdet.v1.ScoreRequest")(model=asked.model, rows=matrix, **asked.rates)
    with grpc.insecure_channel(asked.address) as channel:
        data = channel.unary_unary(f"/{DENSITY}/Score")(request.SerializeToString())
    answer = plain("logdet.v1.ScoreResponse").FromString(data)
    told = {name: getattr(answer, name) for name in TOLD if answer.HasField(name)}
    told |= {"model": answer.model.name, "version": answer.model.version}
    return found(list(answer.p_value), list(answer.is_anomaly), told)


def of_client(asked: Asked) -> Found:
    with Client(asked.url, chunk_rows=70) as client:
        answer = client.score(asked.model, asked.x, **asked.rates)
    return found(answer.p_value, answer.is_anomaly.filled(fill_value=False), answer.facts)


def of_grpc_client(asked: Asked) -> Found:
    with Client(f"grpc://{asked.address}", chunk_rows=70) as client:
        answer = client.score(asked.model, asked.x, **asked.rates)
    assert {"threshold", "alpha"} <= answer.facts.keys()  # None where there is none
    return found(answer.p_value, answer.is_anomaly.filled(fill_value=False), answer.facts)


def of_command(asked: Asked) -> Found:
    source, out = asked.bundles.parent / "asked.parquet", asked.bundles.parent / "told.parquet"
    pyarrow.parquet.write_table(pa.table(asked.columns), source)
    rates = [text for name, value in asked.rates.items() for text in (f"--{name}", str(value))]
    command = ["score", asked.model, str(source), "-o", str(out), *rates]
    done = CliRunner().invoke(main, [*command, "--bundles", str(asked.bundles)])
    assert done.exit_code == 0, done.output
    table = pyarrow.parquet.read_table(out)
    told = re.search(r"by (?P<model>\w+)/(?P<version>\d+), calibration (\w+)$", done.stdout)
    assert told is not None, done.stdout
    rounded = {name: of_text(name, done.stdout) for name in ("threshold", "alpha", "fdr")}
    said = {"model": told[1], "version": int(told[2]), "calibration": told[3]} | rounded
    return found(table["p_value"].to_numpy(), table["is_anomaly"].to_pylist(), said)


def of_text(name: str, text: str) -> float | None:
    told = re.search(rf"\b{name} (-?[\d.]+)", text)
    return None if told is None else float(told[1])


def found(p_value: Any, is_anomaly: Any, told: Mapping[str, Any]) -> Found:
    kept = {name: told.get(name) for name in (*TOLD, "model", "version")}
    return Found(np.array(p_value, float), np.array(is_anomaly, object) == np.True_, kept)


WAYS = (
    of_json, of_csv, of_arrow, of_lines, of_oip_json, of_oip_grpc, of_density, of_client,
    of_grpc_client, of_command,
)  # fmt: skip


def rows_of(model: str, rows: int, anomalies: int) -> Rows:
    x = linear_rows(rows, seed=5) if model in ("vae", "auto") else ordinary_rows(rows, seed=5)
    if rows > 9:
        x[9, 0] = np.nan
    x[rows - anomalies :, :2] += 40.0
    return x


def expected(p_value: NDArray[np.float64], fdr: float) -> tuple[NDArray[np.bool_], float | None]:
    """By a plain loop: which are anomalies, and the level."""
    known = sorted(p for p in p_value if not np.isnan(p))
    m = len(known)
    k = max((i for i in range(1, m + 1) if known[i - 1] <= i * fdr / m), default=0)
    level = k * fdr / m if k else None
    return np.array([level is not None and bool(p <= level) for p in p_value]), level


@pytest.fixture
def ask(engine: str, grpc_engine: str, bundles: Path) -> Callable[..., Asked]:
    def asked(model: str, x: Rows, **rates: float) -> Asked:
        return Asked(model, x, rates, engine, grpc_engine, bundles)

    return asked


def digest(bundles: Path, model: str) -> tuple[int, str]:
    """The newest version, and the digest of its calibration scores."""
    version = max(int(folder.name) for folder in (bundles / model).iterdir())
    content = (bundles / model / str(version) / "calibration.npz").read_bytes()
    return version, hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("model", ["gauss", "vae", "auto"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_fdr_judges_the_whole_request(
    ask: Callable[..., Asked], way: Callable[[Asked], Found], model: str
) -> None:
    asked = ask(model, rows_of(model, ROWS, 30), fdr=0.1)
    got = way(asked)
    anomalies, level = expected(got.p_value, 0.1)
    assert np.isnan(got.p_value[9])
    assert not got.is_anomaly[9]
    assert got.is_anomaly[-30:].all()
    np.testing.assert_array_equal(got.is_anomaly, anomalies)
    reference = of_json(asked)
    assert reference.told["alpha"] == level
    is_rounded = way is of_command
    for name in ("threshold", "alpha", "fdr"):
        near = pytest.approx(reference.told[name], rel=1e-4 if is_rounded else 0.0)
        assert got.told[name] == near, name
    version, sha256 = digest(asked.bundles, model)
    assert (got.told["model"], got.told["version"]) == (model, version)
    assert got.told["calibration"] == sha256


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_where_nothing_is_rejected_there_is_neither_alpha_nor_threshold(
    ask: Callable[..., Asked], way: Callable[[Asked], Found]
) -> None:
    x = ordinary_rows(5, seed=7)
    assert calibration_of().p_value(exact(x).log_prob).min() > 0.05
    got = way(ask("gauss", x, fdr=0.05))
    assert not got.is_anomaly.any()
    assert (got.told["alpha"], got.told["threshold"], got.told["fdr"]) == (None, None, 0.05)
    assert got.told["calibration"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_decision_at_alpha_tells_what_an_auditor_needs_and_no_fdr(
    ask: Callable[..., Asked], way: Callable[[Asked], Found]
) -> None:
    asked = ask("gauss", rows_of("gauss", 50, 5), alpha=0.05)
    got = way(asked)
    version, sha256 = digest(asked.bundles, "gauss")
    threshold = calibration_of().threshold(0.05)
    assert got.told == {
        "model": "gauss",
        "version": version,
        "calibration": sha256,
        "threshold": pytest.approx(threshold, rel=1e-4),
        "alpha": 0.05,
        "fdr": None,
    }


@pytest.mark.parametrize("way", [of_json, of_lines, of_density, of_client])
def test_an_fdr_is_of_all_runs_and_pieces_together(
    ask: Callable[..., Asked], way: Callable[[Asked], Found]
) -> None:
    x = rows_of("gauss", MANY, 900)  # all of them at the end
    got = way(ask("gauss", x, fdr=0.2))
    anomalies, level = expected(got.p_value, 0.2)
    np.testing.assert_array_equal(got.is_anomaly, anomalies)
    assert got.told["alpha"] == level
    assert got.is_anomaly[-900:].all()
    assert got.is_anomaly[:-900].any()  # as a fifth of them may be false


def test_the_digest_is_the_manifest_s(api: httpx.Client) -> None:
    for model in ("gauss", "vae", "auto"):
        manifest = api.get(f"/v1/models/{model}").json()
        body = {"rows": ordinary_rows(1).tolist()}
        told = api.post(f"/v1/models/{model}/score", json=body).json()
        assert told["calibration"] == manifest["calibration"]["artifact"]["sha256"]


@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
def test_false_alarms_are_no_more_than_one_calibration_explains(
    api: httpx.Client, alpha: float
) -> None:
    x = ordinary_rows(20_000, seed=77)
    answer = api.post("/v1/models/gauss/score", json={"rows": x.tolist(), "alpha": alpha}).json()
    share = np.mean(answer["is_anomaly"])
    # The true rate of one calibration is beta(k, n + 1 - k), of which this is 5 deviations.
    rate = np.floor(alpha * (CALIBRATION_ROWS + 1)) / (CALIBRATION_ROWS + 1)
    variance = rate * (1 - rate) * (1 / (CALIBRATION_ROWS + 2) + 1 / len(x))
    assert share <= rate + 5 * np.sqrt(variance)
