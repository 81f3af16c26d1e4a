"""CSV, Arrow and lines of JSON, against any engine."""

from __future__ import annotations

import gzip
import json
import re
import time
from typing import Any

import httpx
import numpy as np
import pytest

from tests.bundles import NAMES, exact, ordinary_rows
from tests.tables import ARROW, CSV, arrow_bytes, csv_bytes, read_arrow, read_csv
from tests.variants import CONTEXT, contexts, exact_given, rows_given

LINES = {"accept": "application/x-ndjson"}
MANY = 100_000


def columns(x: Any, names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    return dict(zip(names, np.asarray(x).T, strict=True))


def post(api: httpx.Client, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    response = api.post(f"/v1/models/{path}", content=content, headers=headers)
    assert response.status_code == 200, response.text
    return response


def test_one_row_has_one_log_prob_in_every_format(api: httpx.Client) -> None:
    given = columns(ordinary_rows(1, seed=8))
    rows = {"rows": [[given[name][0] for name in NAMES]]}
    plain = api.post("/v1/models/gauss/log_prob", json=rows).json()["log_prob"]
    arrow = read_arrow(post(api, "gauss/log_prob", arrow_bytes(given), ARROW).content)
    text = read_csv(post(api, "gauss/log_prob", csv_bytes(given), CSV).text)["log_prob"]
    lines = post(api, "gauss/log_prob", csv_bytes(given), CSV | LINES).text.splitlines()
    expected = arrow.column("log_prob").to_numpy()
    for got in (plain, text, [json.loads(lines[1])["log_prob"]]):
        assert np.array(got).astype(np.float32).tobytes() == expected.tobytes()


def test_decisions_come_with_what_is_told_of_all_rows(api: httpx.Client) -> None:
    given = columns(ordinary_rows(5)) | {"flow": [None, 1.0, 1.0, 1.0, 90.0]}
    for content, headers in ((arrow_bytes(given), ARROW), (csv_bytes(given), CSV)):
        response = post(api, "gauss/score?alpha=0.05", content, headers)
        told = json.loads(response.headers["x-logdet-answer"])
        assert [told[name] for name in ("model", "version", "alpha")] == ["gauss", 2, 0.05]
    decided = read_csv(response.text)
    assert decided["status"] == ["non_finite_input", *["ok"] * 4]
    assert decided["is_anomaly"][0] == ""
    assert decided["is_anomaly"][4] == "true"


def test_rows_are_drawn_as_a_table(api: httpx.Client) -> None:
    plain = api.post("/v1/models/gauss/sample", json={"n": 20, "seed": 4}).json()
    wanted = {"accept": ARROW["content-type"]}
    table = read_arrow(post(api, "gauss/sample?n=20&seed=4", b"", wanted).content)
    drawn = np.column_stack([table.column(name).to_numpy() for name in NAMES])
    np.testing.assert_allclose(drawn, plain["rows"], rtol=1e-6)
    again = read_arrow(post(api, "gauss/log_prob", arrow_bytes(columns(drawn)), ARROW).content)
    log_prob = again.column("log_prob").to_numpy()
    np.testing.assert_allclose(log_prob, table.column("log_prob").to_numpy(), atol=1e-5)


def test_latents_are_a_table_there_and_back(api: httpx.Client) -> None:
    x = ordinary_rows(30)
    latents = read_arrow(post(api, "gauss/encode", arrow_bytes(columns(x)), ARROW).content)
    z = latents.drop_columns(["log_det", "status"])
    back = read_arrow(post(api, "gauss/decode", arrow_bytes(z), ARROW).content)
    rows = np.column_stack([back.column(name).to_numpy() for name in NAMES])
    np.testing.assert_allclose(rows, x, atol=1e-4)


def test_context_is_columns_of_the_table(api: httpx.Client) -> None:
    context = contexts(40)
    x = rows_given(context)
    given = columns(np.hstack([context, x]), (*CONTEXT, *NAMES))
    table = read_arrow(post(api, "given/log_prob", arrow_bytes(given), ARROW).content)
    truth = exact_given(x, context).log_prob
    np.testing.assert_allclose(table.column("log_prob").to_numpy(), truth, atol=1e-3)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("kind", ["csv", "arrow"])
def test_many_rows_are_answered_whole(api: httpx.Client, kind: str, encoding: str) -> None:
    x = ordinary_rows(MANY, seed=4)
    content = csv_bytes(columns(x)) if kind == "csv" else arrow_bytes(columns(x), 30_000)
    headers = (CSV if kind == "csv" else ARROW) | {"content-encoding": encoding}
    packed = gzip.compress(content, 1) if encoding == "gzip" else content
    wanted = headers | {"accept": ARROW["content-type"]}
    table = read_arrow(post(api, "gauss/log_prob", packed, wanted).content)
    np.testing.assert_allclose(table.column("log_prob").to_numpy(), exact(x).log_prob, atol=1e-3)


def test_many_rows_come_back_line_by_line(api: httpx.Client) -> None:
    x = ordinary_rows(MANY, seed=4)
    content = arrow_bytes(columns(x))
    headers = ARROW | LINES
    with api.stream(
        "POST", "/v1/models/gauss/score", content=content, headers=headers
    ) as response:
        assert response.status_code == 200
        told, *rows, end = map(json.loads, response.iter_lines())
    assert told["model"] == "gauss"
    assert end == {"rows": MANY}
    np.testing.assert_allclose([row["log_prob"] for row in rows], exact(x).log_prob, atol=1e-3)


# name: (path, headers, body, status, words that the sentence must have)
REFUSED: dict[str, tuple[str, dict[str, str], bytes, int, list[str]]] = {
    "a text cell": (
        "gauss/log_prob",
        CSV,
        b"pressure,flow,count,site\n1,2,3,4\n1,2,x,4\n",
        400,
        ["row 1", "'count'", "'x'"],
    ),
    "columns": ("gauss/log_prob", CSV, b"flow,colour\n1,2\n", 400, ["pressure", "colour"]),
    "a text column": (
        "gauss/log_prob",
        ARROW,
        arrow_bytes(columns(ordinary_rows(1)) | {"flow": ["a"]}),
        400,
        ["string", "'flow'"],
    ),
    "compressed buffers": (
        "gauss/log_prob",
        ARROW,
        arrow_bytes(columns(ordinary_rows(9)), compression="zstd"),
        400,
        ["compressed"],
    ),
    "no Arrow": ("gauss/log_prob", ARROW, b"pressure,flow\n", 400, ["Arrow IPC stream"]),
    "an empty body": ("gauss/log_prob", CSV, b"", 400, ["empty body"]),
    "a setting": ("gauss/score?beta=1", CSV, csv_bytes(columns(ordinary_rows(1))), 400, ["beta"]),
    "a query beside JSON": ("gauss/score?alpha=1", {}, b'{"rows": []}', 400, ["alpha", "JSON"]),
    "an unknown type": ("gauss/log_prob", {"content-type": "image/png"}, b"1", 415, ["text/csv"]),
    "nothing acceptable": (
        "gauss/log_prob",
        CSV | {"accept": "image/png"},
        csv_bytes(columns(ordinary_rows(1))),
        406,
        ["image/png", "application/json"],
    ),
    "too many rows": (
        "gauss/log_prob",
        CSV | {"accept": "application/x-ndjson"},
        b"pressure,flow,count,site\n" + b"1,1,1,1\n" * 262_145,
        413,
        ["262144", "logdet score gauss FILE"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_means_nothing_is_refused_in_json(api: httpx.Client, name: str) -> None:
    path, headers, body, status, words = REFUSED[name]
    response = api.post(f"/v1/models/{path}", content=body, headers=headers)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    for word in words:
        assert word in response.json()["error"]
    good = csv_bytes(columns(ordinary_rows(2)))
    assert read_csv(post(api, "gauss/log_prob", good, CSV).text)["status"] == ["ok", "ok"]


def test_a_client_that_has_seen_enough_may_go(api: httpx.Client) -> None:
    content = arrow_bytes(columns(ordinary_rows(MANY, seed=4)))
    headers = ARROW | LINES
    with api.stream(
        "POST", "/v1/models/gauss/score", content=content, headers=headers
    ) as response:
        assert next(response.iter_lines()).startswith('{"model":"gauss"')
    for _ in range(100):
        found = re.findall(r"^logdet_queue_rows\{.*\} (\S+)$", api.get("/metrics").text, re.M)
        if set(map(float, found)) == {0.0}:
            return
        time.sleep(0.1)
    pytest.fail(f"rows still wait: {found}")
