"""Bad requests: the right status, a sentence that helps, and a service that goes on."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.bundles import ordinary_rows

GOOD = [[10.0, -3.0, 40, 7.1]]
JSON = {"content-type": "application/json"}
# name: (path, body, status, kind, words that the sentence must have)
BODIES: dict[str, tuple[str, Any, int, str, list[str]]] = {
    "too few values": (
        "log_prob",
        {"rows": [[1.0, 2.0]]},
        400,
        "invalid_input",
        ["4", "2", "row 0"],
    ),
    "ragged": ("log_prob", {"rows": [*GOOD, [1.0]]}, 400, "invalid_input", ["row 1"]),
    "unknown feature": (
        "log_prob",
        {"rows": [{"pressure": 1, "flow": 1, "count": 1, "site": 7.1, "colour": 1}]},
        400,
        "invalid_input",
        ["colour", "pressure"],
    ),
    "missing feature": (
        "log_prob",
        {"rows": [{"pressure": 1, "flow": 1, "count": 1}]},
        400,
        "invalid_input",
        ["site", "row 0"],
    ),
    "text": ("log_prob", {"rows": [["a", 1, 1, 1]]}, 400, "invalid_input", ["pressure", "'a'"]),
    "number as text": ("log_prob", {"rows": [["1", 1, 1, 1]]}, 400, "invalid_input", ["'1'"]),
    "boolean": ("log_prob", {"rows": [[1, True, 1, 1]]}, 400, "invalid_input", ["flow", "true"]),
    "nested": ("log_prob", {"rows": [[1, [2], 1, 1]]}, 400, "invalid_input", ["flow", "list"]),
    "mixed rows": (
        "log_prob",
        {"rows": [*GOOD, {"pressure": 1}]},
        400,
        "invalid_input",
        ["row 1"],
    ),
    "a row that is no row": ("log_prob", {"rows": [1]}, 400, "invalid_input", ["row 0"]),
    "null row": ("log_prob", {"rows": [None]}, 400, "invalid_input", ["null", "row 0"]),
    "rows is null": ("log_prob", {"rows": None}, 400, "invalid_input", ["rows", "null"]),
    "rows is text": ("log_prob", {"rows": "1,2"}, 400, "invalid_input", ["rows"]),
    "no rows": ("log_prob", {"rows": []}, 400, "invalid_input", ["at least one"]),
    "rows missing": ("log_prob", {}, 400, "invalid_input", ["rows"]),
    "unknown field": ("log_prob", {"rows": GOOD, "alpha": 1}, 400, "invalid_input", ["alpha"]),
    "no way to explain": (
        *("score", {"rows": GOOD, "explain": 1}, 400, "invalid_input"),
        ["'explain'", "true, false or the name of a method", "got 1"],
    ),
    "unknown way to explain": (
        *("score", {"rows": GOOD, "explain": "conditional"}, 400, "invalid_input"),
        ["true, false or one of 'leave_one_out'", "got 'conditional'"],
    ),
    "nearest is no truth value": (
        *("score", {"rows": GOOD, "nearest": "yes"}, 400, "invalid_input"),
        ["'nearest'", "true or false", "got 'yes'"],
    ),
    "alpha too large": ("score", {"rows": GOOD, "alpha": 1.5}, 400, "invalid_input", ["1.5"]),
    "alpha nought": ("score", {"rows": GOOD, "alpha": 0}, 400, "invalid_input", ["alpha"]),
    "alpha undecidable": (
        "score",
        {"rows": GOOD, "alpha": 1e-6},
        400,
        "invalid_input",
        ["calibration rows", "999"],
    ),
    "alpha text": ("score", {"rows": GOOD, "alpha": "a"}, 400, "invalid_input", ["alpha"]),
    "fdr too large": ("score", {"rows": GOOD, "fdr": 1}, 400, "invalid_input", ["fdr", "1"]),
    "fdr undecidable": (
        "score",
        {"rows": GOOD, "fdr": 1e-4},
        400,
        "invalid_input",
        ["fdr", "0.001", "999 calibration rows"],
    ),
    "fdr text": ("score", {"rows": GOOD, "fdr": "a"}, 400, "invalid_input", ["fdr"]),
    "alpha and fdr": (
        "score",
        {"rows": GOOD, "alpha": 0.05, "fdr": 0.1},
        400,
        "invalid_input",
        ["false alarms", "got both: alpha 0.05 and fdr 0.1"],
    ),
    "fdr of log_prob": ("log_prob", {"rows": GOOD, "fdr": 0.1}, 400, "invalid_input", ["fdr"]),
    "alpha boolean": ("score", {"rows": GOOD, "alpha": True}, 400, "invalid_input", ["alpha"]),
    "z too short": ("decode", {"z": [[1.0]]}, 400, "invalid_input", ["3", "1"]),
    "n negative": ("sample", {"n": -1}, 400, "invalid_input", ["-1"]),
    "n nought": ("sample", {"n": 0}, 400, "invalid_input", ["at least 1"]),
    "n huge": ("sample", {"n": 10**12}, 413, "too_large", ["262144", "logdet sample gauss -n N"]),
    "n fraction": ("sample", {"n": 1.5}, 400, "invalid_input", ["whole"]),
    "n boolean": ("sample", {"n": True}, 400, "invalid_input", ["whole"]),
    "n missing": ("sample", {}, 400, "invalid_input", ["'n'"]),
    "seed negative": ("sample", {"n": 1, "seed": -1}, 400, "invalid_input", ["seed"]),
    "seed too large": ("sample", {"n": 1, "seed": 2**63}, 400, "invalid_input", ["seed"]),
    "seed text": ("sample", {"n": 1, "seed": "x"}, 400, "invalid_input", ["seed"]),
    "temperature negative": (
        "sample",
        {"n": 1, "temperature": -1},
        400,
        "invalid_input",
        ["temperature"],
    ),
    "of missing": ("expectation", {}, 400, "invalid_input", ["'of'"]),
    "of unknown": (
        "expectation",
        {"of": [{"mean": "flow"}, {"mode": "flow"}]},
        400,
        "invalid_input",
        ["entry 1", "quantile"],
    ),
    "of no feature": ("expectation", {"of": [{"mean": "x"}]}, 400, "invalid_input", ["flow"]),
    "samples zero": (
        "expectation",
        {"of": [{"mean": "flow"}], "samples": 0},
        400,
        "invalid_input",
        ["samples"],
    ),
    "too many samples": (
        "expectation",
        {"of": [{"mean": "flow"}], "samples": 262_145},
        413,
        "too_large",
        ["logdet expect gauss -n N"],
    ),
    "context of an expectation": (
        "expectation",
        {"of": [{"mean": "flow"}], "context": [[1.0]]},
        400,
        "invalid_input",
        ["context"],
    ),
    "body is a list": ("log_prob", GOOD, 400, "invalid_input", ["object"]),
    "body is null": ("log_prob", None, 400, "invalid_input", ["object"]),
    "too many rows": ("log_prob", {"rows": GOOD * 262_145}, 413, "too_large", ["logdet score"]),
}
# name: (raw body, status, words)
RAW: dict[str, tuple[bytes, int, list[str]]] = {
    "broken JSON": (b'{"rows": [[1,', 400, ["JSON"]),
    "NaN is not JSON": (b'{"rows": [[NaN, 1, 1, 1]]}', 400, ["JSON", "null"]),
    "Infinity is not JSON": (b'{"rows": [[Infinity, 1, 1, 1]]}', 400, ["JSON"]),
    "a number beyond all bounds": (b'{"rows": [[1' + b"0" * 400 + b", 1, 1, 1]]}", 400, ["JSON"]),
    "not UTF-8": (b'{"rows": "\xff"}', 400, ["JSON"]),
    "empty body": (b"", 400, ["empty"]),
    "deep nesting": (b'{"rows": ' + b"[" * 100_000, 400, ["JSON"]),
}


@pytest.fixture(autouse=True)
def goes_on(api: httpx.Client) -> Any:
    """After every refusal the next good request is answered."""
    yield
    response = api.post("/v1/models/gauss/log_prob", json={"rows": GOOD})
    assert response.status_code == 200
    assert response.json()["status"] == ["ok"]


def refused(response: httpx.Response, status: int, kind: str, words: list[str]) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "kind"}
    assert body["kind"] == kind
    for word in words:
        assert word in body["error"]
    assert "Traceback" not in response.text


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_means_nothing_is_refused_with_a_reason(api: httpx.Client, name: str) -> None:
    path, body, status, kind, words = BODIES[name]
    content = json.dumps(body).encode()
    response = api.post(f"/v1/models/gauss/{path}", content=content, headers=JSON)
    refused(response, status, kind, words)


@pytest.mark.parametrize("name", RAW)
def test_a_body_that_is_no_json_is_refused(api: httpx.Client, name: str) -> None:
    body, status, words = RAW[name]
    response = api.post("/v1/models/gauss/log_prob", content=body, headers=JSON)
    refused(response, status, "invalid_input", words)


def test_a_million_rows_are_too_many(api: httpx.Client) -> None:
    body = b'{"rows": [' + b"[1,1,1,1]," * 999_999 + b"[1,1,1,1]]}"
    response = api.post("/v1/models/gauss/log_prob", content=body, headers=JSON)
    refused(response, 413, "too_large", ["1000000", "logdet score gauss FILE"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/models/nobody/log_prob", ["nobody", "gauss", "scorer"]),
        ("/v1/models/broken/log_prob", ["broken"]),
        ("/v1/models/gauss/versions/7/log_prob", ["7", "1, 2"]),
        ("/v1/models/gauss/versions/x/log_prob", ["x"]),
        ("/v2/nothing", ["path"]),
    ],
)
def test_what_is_not_there_is_not_found(api: httpx.Client, path: str, words: list[str]) -> None:
    refused(api.post(path, json={"rows": GOOD}), 404, "not_found", words)


@pytest.mark.parametrize("operation", ["sample", "feature_log_prob", "reconstruct"])
def test_an_operation_that_the_model_has_not_lists_those_it_has(
    api: httpx.Client, operation: str
) -> None:
    response = api.post(f"/v1/models/scorer/{operation}", json={"n": 1})
    refused(response, 400, "unsupported", [operation, "log_prob, score"])


def test_the_method_must_be_right(api: httpx.Client) -> None:
    refused(api.get("/v1/models/gauss/log_prob"), 405, "unsupported", ["POST"])
    refused(api.delete("/v1/models"), 405, "unsupported", ["GET"])


def test_the_content_type_must_be_json(api: httpx.Client) -> None:
    response = api.post("/v1/models/gauss/log_prob", data={"rows": "1"})
    refused(response, 415, "unsupported", ["application/json"])


def test_the_content_encoding_must_be_known(api: httpx.Client) -> None:
    headers = JSON | {"content-encoding": "br"}
    response = api.post("/v1/models/gauss/log_prob", content=b"{}", headers=headers)
    refused(response, 415, "unsupported", ["gzip"])


def test_a_body_not_compressed_as_it_says_is_refused(api: httpx.Client) -> None:
    headers = JSON | {"content-encoding": "gzip"}
    plain = api.post("/v1/models/gauss/log_prob", content=b"{}", headers=headers)
    refused(plain, 400, "invalid_input", ["compressed"])
    short = gzip.compress(json.dumps({"rows": ordinary_rows(50).tolist()}).encode())[:-20]
    cut = api.post("/v1/models/gauss/log_prob", content=short, headers=headers)
    refused(cut, 400, "invalid_input", ["compressed"])
    twice = api.post(
        "/v1/models/gauss/log_prob", content=2 * gzip.compress(b"{}"), headers=headers
    )
    refused(twice, 400, "invalid_input", ["goes on after its end"])


def test_a_compressed_body_may_not_grow_over_the_limit(api: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (65 * 2**20), compresslevel=9)
    headers = JSON | {"content-encoding": "gzip"}
    response = api.post("/v1/models/gauss/log_prob", content=bomb, headers=headers)
    refused(response, 413, "too_large", ["67108864", "decompression"])


def test_a_body_over_the_limit_is_refused_before_it_is_sent(engine: str) -> None:
    where = urlsplit(engine)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/models/gauss/log_prob HTTP/1.1\r\nhost: x\r\n"
            b"content-type: application/json\r\ncontent-length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(4096)
