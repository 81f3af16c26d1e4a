"""CSV and Arrow in and out of the application in this process."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from logdet.cli import main
from service.config import ServiceConfig
from service.core import Core
from service.http.app import App, build_app
from service.results import STATUSES
from tests.bundles import NAMES, ordinary_rows
from tests.scored import NAMED
from tests.service.test_http import ask
from tests.tables import ARROW, CSV, arrow_bytes, csv_bytes, read_arrow, read_csv
from tests.variants import CONTEXT, contexts, rows_given, write_conditional

ROWS = ordinary_rows(7)
COLUMNS = dict(zip(NAMES, ROWS.T, strict=True))


@pytest.fixture(scope="module")
def app(root: Path) -> App:
    write_conditional(root)
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=2))
    core.load()
    return build_app(core)


def post(app: App, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    return ask(app, "POST", f"/v1/models/{path}", content=content, headers=headers)


def answered(response: httpx.Response) -> httpx.Response:
    assert response.status_code == 200, response.text
    return response


def refusal(response: httpx.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error", "kind"}
    return str(body["error"])


@pytest.mark.parametrize("operation", ["log_prob", "score", "encode"])
def test_every_format_carries_the_same_floats(app: App, operation: str) -> None:
    path = f"gauss/{operation}"
    plain = answered(post(app, path, json.dumps({"rows": ROWS.tolist()}).encode(), {})).json()
    arrow = read_arrow(answered(post(app, path, arrow_bytes(COLUMNS), ARROW)).content)
    text = read_csv(answered(post(app, path, csv_bytes(COLUMNS), CSV)).text)
    assert arrow.column_names == list(text)
    for name in set(arrow.column_names) - {"status", "is_anomaly"}:
        kind = arrow.schema.field(name).type.to_pandas_dtype()
        values = arrow.column(name).to_numpy()
        assert np.array(text[name]).astype(kind).tobytes() == values.tobytes()
        listed = np.array(plain["z"])[:, int(name[1:])] if name[0] == "z" else plain[name]
        assert np.array(listed).astype(kind).tobytes() == values.tobytes()


@pytest.mark.parametrize("operation", ["gauss/score", "vae/reconstruct", "vae/sample"])
def test_a_json_body_may_be_answered_by_a_table(app: App, operation: str) -> None:
    body = {"n": 7, "seed": 1} if "sample" in operation else {"rows": ROWS.tolist()}
    query = "?n=7&seed=1" if "sample" in operation else ""
    table = b"" if query else csv_bytes(COLUMNS)
    for accept in (CSV["content-type"], ARROW["content-type"], "application/x-ndjson"):
        wanted = {"accept": accept}
        path = f"/v1/models/{operation}"
        got = answered(ask(app, "POST", path, json=body, headers=wanted))
        assert got.headers["content-type"].partition(";")[0] == accept
        assert got.content == answered(post(app, operation + query, table, CSV | wanted)).content


def test_arrow_brings_the_core_s_own_bits(app: App, root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1))
    core.load()
    x = ROWS.copy()
    x[0, 0], x[1, 2] = np.nan, 0.5
    evaluated = core.find("gauss").model.evaluate(x)  # type: ignore[union-attr]
    given = dict(zip(NAMES, x.T, strict=True))
    table = read_arrow(answered(post(app, "gauss/log_prob", arrow_bytes(given), ARROW)).content)
    assert table.schema.field("log_prob").type == pa.float32()
    got = table.column("log_prob").to_numpy()
    assert got.tobytes() == evaluated.log_prob.tobytes()
    assert np.isnan(got[0])
    assert got[1] == -np.inf
    assert table.column("log_prob").null_count == 0


def test_what_is_told_of_all_rows_is_in_the_header_and_in_arrow_s_metadata(app: App) -> None:
    path = "gauss/score?alpha=0.05"
    plain = answered(
        post(
            app,
            path.partition("?")[0],
            json.dumps({"rows": ROWS.tolist(), "alpha": 0.05}).encode(),
            {},
        )
    ).json()
    told = {name: value for name, value in plain.items() if not isinstance(value, list)}
    assert told.keys() == {"model", "version", "density", "calibration", "threshold", "alpha"}
    for content, headers in ((csv_bytes(COLUMNS), CSV), (arrow_bytes(COLUMNS), ARROW)):
        response = answered(post(app, path, content, headers))
        assert json.loads(response.headers["x-logdet-answer"]) == told
    assert json.loads(read_arrow(response.content).schema.metadata[b"logdet"]) == told


def test_a_decision_that_cannot_be_made_is_a_null_and_the_status_a_word(app: App) -> None:
    given = COLUMNS | {"flow": [None, *ROWS[1:, 1]], "count": [*ROWS[:6, 2], 0.5]}
    table = read_arrow(answered(post(app, "gauss/score", arrow_bytes(given), ARROW)).content)
    assert table.column("is_anomaly").to_pylist() == [None, *[False] * 5, True]
    words = ["non_finite_input", *["ok"] * 5, "out_of_support"]
    assert table.column("status").to_pylist() == words
    assert table.column("status").chunk(0).dictionary.to_pylist() == list(STATUSES)
    text = read_csv(answered(post(app, "gauss/score", csv_bytes(given), CSV)).text)
    assert text["is_anomaly"] == ["", *["false"] * 5, "true"]
    assert [text["log_prob"][0], text["log_prob"][6]] == ["", "-inf"]
    assert text["status"] == words


OUTPUTS = {
    "gauss/decode": ["pressure", "flow", "count", "site", "log_prob"],
    "ordered/feature_log_prob": ["log_prob", *(f"log_prob_{name}" for name in NAMES)],
    "scored/scores": [name + end for name in NAMED for end in ("", "_p_value")],
    "scored/score?by=combined": ["log_prob", "score", "p_value", "is_anomaly"],
    "scored/score?by=log_prob": ["log_prob", "p_value", "is_anomaly"],
    "vae/encode": ["mean_z0", "mean_z1", "scale_z0", "scale_z1", "z0", "z1"],
    "vae/reconstruct": [*(f"reconstructed_{name}" for name in NAMES), "error"],
    "auto/reconstruct": [*(f"reconstructed_{name}" for name in NAMES), "error"],
    "auto/score": ["score", "p_value", "is_anomaly"],
    "vae/log_prob_bound?samples=10&seed=1": [
        "elbo",
        "elbo_standard_error",
        "importance_bound",
        "standard_error",
        "effective_sample_size",
    ],
}


@pytest.mark.parametrize("path", OUTPUTS)
@pytest.mark.parametrize("count", [3, 0])
def test_columns_have_the_names_that_the_command_line_writes(
    app: App, path: str, count: int
) -> None:
    given = {name: np.ones(count) * 3 for name in NAMES}
    if "decode" in path:
        given = {name: np.zeros(count) for name in ("z0", "z1", "z2")}
    arrow = read_arrow(answered(post(app, path, arrow_bytes(given), ARROW)).content)
    assert arrow.column_names == [*OUTPUTS[path], "status"]
    assert arrow.num_rows == count
    text = answered(post(app, path, csv_bytes(given), CSV)).text
    assert text.splitlines()[0] == ",".join(arrow.column_names)
    assert text.count("\n") == count + 1


def test_no_rows_have_the_types_of_some(app: App) -> None:
    for path in ("gauss/score", "gauss/encode", "vae/score", "auto/reconstruct"):
        some, none = (
            read_arrow(
                answered(
                    post(app, path, arrow_bytes({n: np.ones(k) for n in NAMES}), ARROW)
                ).content
            )
            for k in (1, 0)
        )
        assert some.schema.types == none.schema.types


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(NAMES), is_csv=st.booleans())
def test_the_order_of_columns_means_nothing(app: App, order: list[str], is_csv: bool) -> None:
    given = {name: COLUMNS[name] for name in order}
    body, headers = (csv_bytes(given), CSV) if is_csv else (arrow_bytes(given), ARROW)
    first = (csv_bytes(COLUMNS), CSV) if is_csv else (arrow_bytes(COLUMNS), ARROW)
    path = "gauss/log_prob"
    assert post(app, path, body, headers).content == answered(post(app, path, *first)).content


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(
        st.floats(width=32, min_value=-(2.0**99), max_value=2.0**99), min_size=1, max_size=20
    )
)
def test_the_digits_of_csv_bring_every_float_back(app: App, values: list[float]) -> None:
    given = {"z0": values, "z1": [0.0] * len(values), "z2": [0.0] * len(values)}
    binary = read_arrow(answered(post(app, "gauss/decode", arrow_bytes(given), ARROW)).content)
    text = read_csv(answered(post(app, "gauss/decode", csv_bytes(given), CSV)).text)
    for name in ("pressure", "flow", "log_prob"):
        expected = binary.column(name).to_numpy()
        got = np.array([cell or "nan" for cell in text[name]]).astype(expected.dtype)
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "kind", ["int8", "int32", "int64", "uint16", "uint64", "float16", "float32", "float64"]
)
def test_numbers_of_every_type_are_taken(app: App, kind: str) -> None:
    values = {"pressure": [10, 12], "flow": [3, 2], "count": [40, 30], "site": [7, 7]}
    typed = {name: pa.array(v, getattr(pa, kind)()) for name, v in values.items()}
    got = answered(post(app, "gauss/encode", arrow_bytes(typed), ARROW)).content
    floats = {name: pa.array(v, pa.float64()) for name, v in values.items()}
    assert got == answered(post(app, "gauss/encode", arrow_bytes(floats), ARROW)).content


def test_batches_are_rows_of_one_table(app: App) -> None:
    whole = answered(post(app, "gauss/log_prob", arrow_bytes(COLUMNS), ARROW))
    parts = answered(post(app, "gauss/log_prob", arrow_bytes(COLUMNS, 2), ARROW))
    assert whole.content == parts.content


def test_a_column_of_nothing_is_one_of_missing_values(app: App) -> None:
    given = COLUMNS | {"flow": pa.nulls(7)}
    table = read_arrow(answered(post(app, "gauss/log_prob", arrow_bytes(given), ARROW)).content)
    assert set(table.column("status").to_pylist()) == {"non_finite_input"}


def test_an_empty_line_of_one_column_is_a_missing_value(app: App) -> None:
    given = {name: np.zeros(3) for name in ("z0", "z1", "z2")}
    lines = csv_bytes(given).splitlines()
    body = b"\n".join([*lines[:2], b"", *lines[2:], b""])
    assert len(read_csv(answered(post(app, "gauss/decode", body, CSV)).text)["status"]) == 3


def stream_of_nulls(*lengths: int) -> bytes:
    """A stream of nulls in batches of any lengths, which are then nothing but said."""
    places = [1001 + i for i in range(len(lengths))]
    sink = pa.BufferOutputStream()
    schema = pa.schema([(name, pa.null()) for name in NAMES])
    with pa.ipc.new_stream(sink, schema) as stream:
        for place in places:
            nulls = [pa.nulls(place)] * len(NAMES)
            stream.write_batch(pa.record_batch(nulls, schema=schema))
    body: bytes = sink.getvalue().to_pybytes()
    for place, length in zip(places, lengths, strict=True):
        body = body.replace(struct.pack("<q", place), struct.pack("<q", length))
    return body


@pytest.mark.parametrize(
    ("lengths", "status", "words"),
    [
        ([2**62] * 2, 413, f"got {2**62}"),
        ([2**62] * 4 + [5], 413, f"got {2**62}"),
        ([5, 2**63 - 1, 3], 413, f"got {2**63 + 4}"),
        ([-(2**63), 5], 400, "Arrow IPC stream"),
        ([8, -3], 400, "Arrow IPC stream"),
    ],
)
def test_a_stream_that_lies_about_nulls_is_refused(
    app: App, lengths: list[int], status: int, words: str
) -> None:
    error = refusal(post(app, "gauss/log_prob", stream_of_nulls(*lengths), ARROW), status)
    assert words in error
    fine = post(app, "gauss/log_prob", stream_of_nulls(5, 3), ARROW)
    assert read_arrow(answered(fine).content).num_rows == 8


ARROW_REFUSED: dict[str, tuple[bytes, list[str]]] = {
    "text": (
        arrow_bytes(COLUMNS | {"flow": ["a"] * 7, "site": [True] * 7}),
        ["string in 'flow', bool in 'site'"],
    ),
    "dictionary": (
        arrow_bytes(COLUMNS | {"flow": pa.array(["1"] * 7).dictionary_encode()}),
        ["dictionary", "'flow'"],
    ),
    "decimal": (
        arrow_bytes(COLUMNS | {"flow": pa.array([1] * 7, pa.decimal128(5))}),
        ["decimal128(5, 0) in 'flow'"],
    ),
    "date": (arrow_bytes(COLUMNS | {"flow": pa.array([1] * 7, pa.date32())}), ["date32", "flow"]),
    "list": (arrow_bytes(COLUMNS | {"flow": [[1.0]] * 7}), ["list<", "flow"]),
    "wide integer": (
        arrow_bytes(COLUMNS | {"count": [1, 2, 3, None, -(2**53) - 1, 2**62, 1]}),
        ["-9007199254740993 at row 4, column 'count'"],
    ),
    "wide unsigned": (
        arrow_bytes(COLUMNS | {"count": pa.array([2**53 + 1] * 7, pa.uint64())}, 2),
        ["9007199254740993 at row 0"],
    ),
    "missing": (arrow_bytes({"flow": [1.0], "site": [1.0]}), ["missing: pressure, count"]),
    "unknown": (arrow_bytes(COLUMNS | {"colour": [1.0] * 7}), ["unknown: colour"]),
    "twice": (
        arrow_bytes(pa.Table.from_arrays([pa.array([1.0])] * 5, [*NAMES, "flow"])),
        ["there twice: flow"],
    ),
    "a file": (b"ARROW1\0\0" + bytes(100), ["Arrow file"]),
    "cut": (arrow_bytes(COLUMNS)[:-60], ["part of one"]),
    "noise": (b"pressure,flow,count,site\n", ["Arrow IPC stream"]),
    "two streams": (2 * arrow_bytes(COLUMNS), ["ends before the body"]),
    "nothing": (b"", ["empty body"]),
    "lz4": (arrow_bytes(COLUMNS, compression="lz4"), ["compressed", "gzip"]),
    "zstd": (arrow_bytes(COLUMNS, compression="zstd"), ["compressed", "gzip"]),
}


@pytest.mark.parametrize("name", ARROW_REFUSED)
def test_a_stream_that_is_no_such_table_is_refused(app: App, name: str) -> None:
    body, words = ARROW_REFUSED[name]
    error = refusal(post(app, "gauss/log_prob", body, ARROW))
    for word in words:
        assert word in error


def test_a_stream_that_would_fill_the_memory_is_refused(app: App) -> None:
    zeros = {name: np.zeros(4_000_000) for name in NAMES}
    body = arrow_bytes(zeros, compression="zstd")
    assert len(body) < 100_000
    assert "compressed" in refusal(post(app, "gauss/log_prob", body, ARROW))


def test_a_stream_that_lies_about_its_lengths_is_refused(app: App) -> None:
    body = bytearray(arrow_bytes(COLUMNS))
    for place in range(0, len(body), 3):
        broken = bytes(body[:place]) + b"\xff" + bytes(body[place + 1 :])
        assert post(app, "gauss/log_prob", broken, ARROW).status_code in (200, 400, 413), place


def test_too_many_rows_are_refused_before_they_are_read(app: App) -> None:
    given = {name: pa.nulls(300_000) for name in NAMES}
    for body, headers in (
        (arrow_bytes(given), ARROW),
        (b"pressure,flow,count,site\n" + b"1,1,1,1\n" * 262_145, CSV),
    ):
        error = refusal(post(app, "gauss/log_prob", body, headers), 413)
        assert "262144" in error
        assert "logdet score gauss FILE" in error


CSV_REFUSED: dict[str, tuple[bytes, list[str]]] = {
    "text": (b"pressure,flow,count,site\n1,2,3,4\n1,abc,3,4\n", ["row 1, column 'flow'", "'abc'"]),
    "a word for missing": (b"pressure,flow,count,site\n1,NA,3,4\n", ["row 0", "'flow'", "'NA'"]),
    "hexadecimal": (b"pressure,flow,count,site\n1,0x10,3,4\n", ["'0x10'"]),
    "long text": (b"pressure,flow,count,site\n1," + b"a" * 999 + b",3,4\n", ["a" * 64 + "..."]),
    "missing": (b"pressure,flow\n1,2\n", ["missing: count, site", "any order"]),
    "unknown": (b"pressure,flow,count,site,b\n1,2,3,4,5\n", ["unknown: b"]),
    "twice": (b"pressure,flow,count,site,site\n1,2,3,4,5\n", ["there twice: site"]),
    "no header": (b"1,2,3,4\n1,2,3,4\n", ["unknown: 1, 2, 3, 4"]),
    "semicolons": (b"pressure;flow;count;site\n1;2;3;4\n", ["unknown: pressure;flow;count;site"]),
    "ragged": (b"pressure,flow,count,site\n1,2,3,4\n\n1,2,3\n", ["4 cells", "got 3 at row 1"]),
    "a header without end": (b"a," * 2**20, ["header row", "bytes"]),
    "too many columns": (b"a,b," * 9999 + b"\n1\n", ["unknown: a, b", "there twice: a, b"]),
    "no lines, only returns": (b"pressure,flow,count,site\r1,2,3,4\r", ["header row"]),
    "blank": (b"\n\n", ["got no row"]),
    "nothing": (b"", ["empty body"]),
    "not UTF-8": (b"pressure,flow,count,site\n1,\xff,3,4\n", ["UTF-8"]),
    "a name not UTF-8": (b"pressure,fl\xffw,count,site\n1,2,3,4\n", ["UTF-8"]),
    "digits of no double": (
        b"pressure,flow,count,site\n1,2,9007199254740992,4\n1,2, -9007199254740993,4\n",
        ["-9007199254740993 at row 1, column 'count'", "2**53"],
    ),
    "far digits of no double": (
        b"pressure,flow,count,site\n1,2,3,1000000000000000000000001\n",
        ["1000000000000000000000001 at row 0, column 'site'"],
    ),
    "digits of no number": (
        b"pressure,flow,count,site\n1,2,3," + b"9" * 5000 + b"\n",
        ["9" * 64 + "... at row 0, column 'site'"],
    ),
    "text beside blanks": (b"pressure,flow,count,site\n1, ,3,4\n1,NA,3,4\n", ["row 1", "'NA'"]),
    "an open quote": (b'pressure,flow,count,site\n1,2,3,"4\n1,2,3,4\n', ["row 0", "site"]),
}


@pytest.mark.parametrize("name", CSV_REFUSED)
def test_csv_that_is_no_such_table_is_refused(app: App, name: str) -> None:
    body, words = CSV_REFUSED[name]
    error = refusal(post(app, "gauss/log_prob", body, CSV))
    for word in words:
        assert word in error


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200), is_csv=st.booleans())
def test_no_body_brings_the_service_down(app: App, body: bytes, is_csv: bool) -> None:
    prefix = b"pressure,flow,count,site\n" if is_csv else b""
    response = post(app, "gauss/score", prefix + body, CSV if is_csv else ARROW)
    assert response.status_code in (200, 400)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfpressure,flow,count,site\r\n10,-3,40,7.1\r\n",
        b'"pressure","flow","count","site"\n"10"," -3 ",+40,7.1',
        b"pressure,flow,count,site\n1e1,-3.0,40.,7.1\n\n",
        b"\n\npressure,flow,count,site\n" + b"\n" * 99_999 + b"10,-3,40,7.1",
    ],
)
def test_csv_is_read_as_it_is_found(app: App, text: bytes) -> None:
    plain = {"rows": [[10, -3, 40, 7.1]]}
    expected = answered(ask(app, "POST", "/v1/models/gauss/log_prob", json=plain)).json()
    got = answered(post(app, "gauss/log_prob", text, CSV | {"accept": "application/json"}))
    assert got.json() == expected


def test_blanks_are_missing_values(app: App) -> None:
    text = b'pressure,flow,count,site\n10, ,40,7.1\n10,,40,7.1\n10," \t", 40 ,7.1\n10,-3,40,7.1\n'
    status = read_csv(answered(post(app, "gauss/log_prob", text, CSV)).text)["status"]
    assert status == [*["non_finite_input"] * 3, "ok"]


@pytest.mark.parametrize(
    "digits", ["9007199254740992", "-9007199254740994", "+018014398509481984", "1" + "0" * 22]
)
def test_digits_that_are_a_double_are_taken(app: App, digits: str) -> None:
    body = f"z0,z1,z2\n{digits},0,0\n{float(digits)!r},0,0\n1e300,inf,\n".encode()
    text = read_csv(answered(post(app, "gauss/decode", body, CSV)).text)
    assert text["pressure"][0] == text["pressure"][1]


QUERIES: dict[str, tuple[str, list[str]]] = {
    "unknown": ("gauss/score?colour=1", ["'colour'", "alpha, by, explain, fdr, nearest, steps"]),
    "of another operation": ("gauss/log_prob?alpha=0.1", ["'alpha'", "steps"]),
    "twice": ("gauss/score?alpha=0.1&alpha=0.2", ["'alpha' once"]),
    "text": ("gauss/score?alpha=often", ["'alpha'", "'often'"]),
    "empty": ("gauss/score?alpha=", ["'alpha'", "''"]),
    "not finite": ("gauss/score?alpha=nan", ["'alpha'", "'nan'"]),
    "too large": ("gauss/score?alpha=2", ["2"]),
    "an fdr that is text": ("gauss/score?fdr=often", ["'fdr'", "'often'"]),
    "two rates": ("gauss/score?fdr=0.1&alpha=0.1", ["alpha", "fdr", "got both"]),
    "a fraction": ("vae/log_prob_bound?seed=1.5", ["'seed'", "whole", "1.5"]),
    "huge": ("vae/log_prob_bound?seed=" + "9" * 5000, ["'seed'"]),
    "a depth that is not": ("vae/encode?depth=99", ["'depth'", "99"]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_that_means_nothing_is_refused(app: App, name: str) -> None:
    path, words = QUERIES[name]
    error = refusal(post(app, path, csv_bytes(COLUMNS), CSV))
    for word in words:
        assert word in error


def test_json_has_its_settings_in_the_body(app: App) -> None:
    error = refusal(post(app, "gauss/score?alpha=0.1", b'{"rows": [[1, 2, 3, 4]]}', {}))
    assert "'alpha'" in error
    assert "JSON" in error


@pytest.mark.parametrize("headers", [{}, CSV, ARROW])
def test_rows_are_drawn_without_a_body(app: App, headers: dict[str, str]) -> None:
    body = json.dumps({"n": 5, "seed": 3, "temperature": 0.5}).encode()
    plain = answered(post(app, "gauss/sample", body, {})).json()
    got = answered(post(app, "gauss/sample?n=5&seed=3&temperature=0.5", b"", headers))
    if not headers:
        assert got.json() == plain
        return
    assert json.loads(got.headers["x-logdet-answer"])["seed"] == 3
    columns = read_csv(got.text) if headers == CSV else read_arrow(got.content).to_pydict()
    rows = np.array([columns[name] for name in NAMES], dtype=float).T
    np.testing.assert_array_equal(rows, plain["rows"])


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
def test_a_header_alone_is_a_table_of_no_rows(app: App, end: str) -> None:
    body = f"pressure,flow,count,site{end}".encode()
    assert answered(post(app, "gauss/log_prob", body, CSV)).text == "log_prob,status\n"


def test_a_draw_takes_no_columns_without_a_context(app: App) -> None:
    error = refusal(post(app, "gauss/sample?n=5", b"a\n1\n", CSV))
    assert "no columns" in error
    assert "unknown: a" in error
    assert "'n'" in refusal(post(app, "gauss/sample", b"", CSV))


@pytest.mark.parametrize("headers", [CSV, ARROW])
def test_context_is_columns_of_the_same_table(app: App, headers: dict[str, str]) -> None:
    context = contexts(6)
    x = rows_given(context)
    body = {"rows": x.tolist(), "context": context.tolist()}
    plain = answered(ask(app, "POST", "/v1/models/given/log_prob", json=body)).json()
    given = dict(zip((*CONTEXT, *NAMES), np.hstack([context, x]).T, strict=True))
    content = csv_bytes(given) if headers == CSV else arrow_bytes(given)
    wanted = headers | {"accept": "application/json"}
    assert answered(post(app, "given/log_prob", content, wanted)).json() == plain
    error = refusal(post(app, "given/log_prob", csv_bytes(COLUMNS), CSV))
    assert f"missing: {', '.join(CONTEXT)}" in error


@pytest.mark.parametrize("rows", [1, 4])
def test_rows_are_drawn_for_a_table_of_contexts(app: App, rows: int) -> None:
    context = contexts(rows)
    body = {"n": 4, "seed": 1, "context": context.tolist()}
    plain = answered(ask(app, "POST", "/v1/models/given/sample", json=body)).json()
    content = csv_bytes(dict(zip(CONTEXT, context.T, strict=True)))
    wanted = CSV | {"accept": "application/json"}
    assert answered(post(app, "given/sample?n=4&seed=1", content, wanted)).json() == plain
    error = refusal(
        post(app, "given/sample?n=3&seed=1", csv_bytes({n: [0] * 2 for n in CONTEXT}), CSV)
    )
    assert "1 or 3 rows" in error
    assert "context" in refusal(post(app, "given/sample?n=3", b"", CSV))


def test_a_compressed_table_is_read_within_the_same_limit(app: App, root: Path) -> None:
    headers = CSV | {"content-encoding": "gzip"}
    plain = answered(post(app, "gauss/log_prob", csv_bytes(COLUMNS), CSV)).text
    packed = gzip.compress(csv_bytes(COLUMNS))
    assert answered(post(app, "gauss/log_prob", packed, headers)).text == plain
    bomb = gzip.compress(b"pressure,flow,count,site\n" + b"1,1,1,1\n" * (9 * 2**20))
    assert "67108864" in refusal(post(app, "gauss/log_prob", bomb, headers), 413)


def test_expectations_are_json_alone(app: App) -> None:
    assert "application/json" in refusal(post(app, "gauss/expectation", b"a\n1\n", CSV), 415)
    body = json.dumps({"of": [{"mean": "flow"}], "samples": 10}).encode()
    headers = {"content-type": "application/json"}
    answered(post(app, "gauss/expectation", body, headers))
    refusal(post(app, "gauss/expectation", body, headers | {"accept": "text/csv"}), 406)
    assert "'seed'" in refusal(post(app, "gauss/expectation?seed=1", body, headers))


def test_a_table_in_another_encoding_is_refused(app: App) -> None:
    headers = {"content-type": "text/csv; charset=latin-1"}
    assert "latin-1" in refusal(post(app, "gauss/log_prob", csv_bytes(COLUMNS), headers), 415)
    fine = {"content-type": 'text/csv; header=present; charset="UTF-8"'}
    answered(post(app, "gauss/log_prob", csv_bytes(COLUMNS), fine))


def test_the_command_line_names_columns_alike(app: App, root: Path, tmp_path: Path) -> None:
    file, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    file.write_bytes(csv_bytes(COLUMNS))
    commands = {
        "gauss/score": ["score", "gauss", str(file)],
        "gauss/sample?n=3&seed=0": ["sample", "gauss", "-n", "3", "--seed", "0"],
        "vae/log_prob_bound?samples=9&seed=0": ["bound", "vae", str(file), "--samples", "9"],
        "auto/reconstruct": ["reconstruct", "auto", str(file)],
    }
    for path, command in commands.items():
        where = ["-o", str(output), "--bundles", str(root), "--provider", "cpu"]
        result = CliRunner().invoke(main, [*command, *where])
        assert result.exit_code == 0, result.output
        body = b"" if "sample?" in path else csv_bytes(COLUMNS)
        names = list(read_csv(answered(post(app, path, body, CSV)).text))
        written = [name for name in read_csv(output.read_text()) if name not in COLUMNS]
        own = list(NAMES) if "sample?" in path else []
        assert names == [*own, *written, *(["status"] if own else [])]


def test_a_feature_named_like_another_column_is_for_json_alone(root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1))
    core.load()
    core.find("gauss").columns = ("pressure", "flow", "count", "log_prob")
    error = refusal(post(build_app(core), "gauss/sample?n=1", b"", CSV))
    assert "two columns named 'log_prob'" in error
    answered(post(build_app(core), "gauss/sample?n=1", b"", {}))


def test_the_document_tells_of_tables(app: App) -> None:
    paths = ask(app, "GET", "/openapi.json").json()["paths"]
    post_ = paths["/v1/models/{model}/log_prob"]["post"]
    types = {CSV["content-type"], ARROW["content-type"], "application/json"}
    assert set(post_["requestBody"]["content"]) == types
    assert set(post_["responses"]["200"]["content"]) == types | {"application/x-ndjson"}
    assert {"400", "404", "406", "413", "415", "503", "504"} <= set(post_["responses"])
    example = post_["requestBody"]["content"]["text/csv"]["example"]
    model = post_["parameters"][0]["schema"]["example"]
    answered(post(app, f"{model}/log_prob", example.encode(), CSV))
    drawn = paths["/v1/models/{model}/sample"]["post"]
    names = [p["name"] for p in drawn["parameters"] if p["in"] == "query"]
    assert sorted(names) == ["n", "seed", "steps", "temperature"]
    assert drawn["requestBody"]["required"] is False
    asked = paths["/v1/models/{model}/expectation"]["post"]
    assert set(asked["requestBody"]["content"]) == {"application/json"}
    assert [p["in"] for p in asked["parameters"]] == ["path"]
