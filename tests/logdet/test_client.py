"""The client against the embedded service: every operation, every kind of rows."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from logdet import AsyncClient, Client
from logdet.client import Answer, DeadlineExceeded, InvalidInput, NotFound, TooLarge, Unsupported
from tests.bundles import NAMES, exact, ordinary_rows
from tests.linear_gaussian import rows as linear_rows
from tests.logdet.services import each_kind
from tests.variants import CONTEXT, contexts, exact_given, rows_given

GIVEN = contexts(20)
X = ordinary_rows(20)
X[3, 0], X[4, 2], X[5, :2] = np.nan, 0.5, 90.0
LINEAR = linear_rows(20)
Z = np.random.default_rng(0).standard_normal((20, 3))

# Every operation of every kind of model: what the client asks, and the same in JSON.
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "log_prob": ("gauss", "log_prob", {"rows": X}),
    "log_prob of a version": ("gauss", "log_prob", {"rows": X, "version": 1}),
    "log_prob in steps": ("stepped", "log_prob", {"rows": X, "steps": 4}),
    "log_prob given": ("given", "log_prob", {"rows": X, "context": GIVEN}),
    "log_prob given one": ("given", "log_prob", {"rows": X, "context": GIVEN[:1]}),
    "feature_log_prob": ("ordered", "feature_log_prob", {"rows": X}),
    "score": ("gauss", "score", {"rows": X}),
    "score by another": ("scored", "score", {"rows": X, "by": "combined"}),
    "scores": ("scored", "scores", {"rows": X}),
    "score at alpha": ("gauss", "score", {"rows": X, "alpha": 0.05}),
    "score at an fdr": ("gauss", "score", {"rows": X, "fdr": 0.2}),
    "score at an fdr that finds nothing": ("gauss", "score", {"rows": X[6:9], "fdr": 0.002}),
    "score at an fdr of a vae": ("vae", "score", {"rows": LINEAR, "fdr": 0.2}),
    "score of a vae": ("vae", "score", {"rows": LINEAR}),
    "score of an autoencoder": ("auto", "score", {"rows": LINEAR}),
    "encode": ("gauss", "encode", {"rows": X}),
    "encode by a vae": ("vae", "encode", {"rows": LINEAR, "seed": 3, "depth": 2}),
    "encode by a vae's centre": ("vae", "encode", {"rows": LINEAR}),
    "decode": ("gauss", "decode", {"z": Z}),
    "decode given": ("given", "decode", {"z": Z, "context": GIVEN}),
    "decode by a vae": ("vae", "decode", {"z": Z[:, :2]}),
    "sample": ("gauss", "sample", {"n": 7, "seed": 3}),
    "sample, colder": ("gauss", "sample", {"n": 7, "seed": 3, "temperature": 0.5}),
    "sample given": ("given", "sample", {"n": 20, "seed": 3, "context": GIVEN}),
    "sample given one": ("given", "sample", {"n": 9, "seed": 3, "context": GIVEN[:1]}),
    "sample of a vae": ("vae", "sample", {"n": 7, "seed": 3}),
    "log_prob_bound": ("vae", "log_prob_bound", {"rows": LINEAR, "samples": 10, "seed": 1}),
    "reconstruct": ("vae", "reconstruct", {"rows": LINEAR, "depth": 2}),
    "reconstruct by an autoencoder": ("auto", "reconstruct", {"rows": LINEAR}),
}
FRAMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": lambda columns: pd.DataFrame(columns, index=[f"r{i}" for i in range(20)]),
    "polars": pl.DataFrame,
    "arrow": pa.table,
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with each_kind(tmp_path_factory.mktemp("bundles")) as running:
        yield running.url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url) as asking:
        yield asking


def ask(client: Any, model: str, operation: str, asked: dict[str, Any]) -> Any:
    given = dict(asked)
    first = next(given.pop(name) for name in ("rows", "z", "n") if name in given)
    return getattr(client, operation)(model, first, **given)


def by_json(url: str, model: str, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The same asked in JSON, in which NaN is null."""
    body = {name: listed(value) for name, value in asked.items()}
    version = body.pop("version", None)
    path = f"{model}/versions/{version}" if version else model
    response = httpx.post(f"{url}/v1/models/{path}/{operation}", json=body, timeout=30.0)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def listed(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return json.loads(pd.DataFrame(value).to_json(orient="values", double_precision=15))


@pytest.mark.parametrize("name", CALLS)
def test_every_operation_tells_what_json_tells_bit_for_bit(
    url: str, client: Client, name: str
) -> None:
    model, operation, asked = CALLS[name]
    if "context" in asked or "z" in asked:  # 15 digits are not all
        asked = {k: np.round(v, 6) if isinstance(v, np.ndarray) else v for k, v in asked.items()}
    expected = by_json(url, model, operation, asked)
    answer = ask(client, model, operation, asked)
    assert isinstance(answer, Answer)
    assert answer.facts | dict.fromkeys(answer) == {
        key: value if key in answer.facts else None for key, value in expected.items()
    }
    for column, array in answer.items():
        assert same(array, expected[column]), column


def same(array: np.ndarray, told: list[Any]) -> bool:
    """Whether an array is what JSON says, in which what is not finite is null."""
    if array.dtype.kind in "Ub":
        return bool(array.tolist() == told)
    expected = np.array(told, dtype=np.float64).astype(array.dtype)
    is_null = np.isnan(expected)
    return (
        np.array_equal(array[~is_null], expected[~is_null])
        and not np.isfinite(array[is_null]).any()
    )


def test_numbers_that_are_not_finite_come_as_they_are(client: Client) -> None:
    answer = client.score("gauss", X)
    assert np.isnan(answer.log_prob[3])
    assert answer.log_prob[4] == -np.inf
    assert answer.status[[0, 3, 4]].tolist() == ["ok", "non_finite_input", "out_of_support"]
    assert answer.is_anomaly.mask.tolist() == [i == 3 for i in range(20)]
    assert answer.is_anomaly[[4, 5]].all()
    assert not answer.is_anomaly.data[3]
    assert answer.log_prob.dtype == np.float32
    np.testing.assert_allclose(answer.log_prob[6:], exact(X[6:]).log_prob, atol=1e-4)


def test_an_answer_says_what_it_has(client: Client) -> None:
    answer = client.score("gauss", X, alpha=0.05)
    assert answer["p_value"] is answer.p_value
    assert (answer.model, answer.version, answer.density) == ("gauss", 2, "exact")
    assert answer.alpha == 0.05
    assert np.isfinite(answer.threshold)
    assert set(answer) == {"log_prob", "p_value", "is_anomaly", "status"}
    with pytest.raises(AttributeError, match="this answer has no 'z'; it has log_prob, p_value"):
        _ = answer.z
    with pytest.raises(KeyError, match="no array 'pvalue'; it has log_prob, p_value, is_anomaly"):
        _ = answer["pvalue"]
    assert "pvalue" not in answer
    assert repr(answer).startswith("<Answer log_prob (20,), p_value (20,), ")
    again = pickle.loads(pickle.dumps(answer))  # noqa: S301
    assert again.facts == answer.facts
    answer.log_prob[0] = 0.0  # the caller's own


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_is_answered_by_a_frame_of_its_kind(client: Client, kind: str) -> None:
    columns = {name: X[:, place] for place, name in reversed(list(enumerate(NAMES)))}
    frame = FRAMES[kind]({"tag": [str(i) for i in range(20)]} | columns)
    back = client.score("gauss", frame)
    assert type(back) is type(frame)
    arrays = client.score("gauss", X)
    log_prob = np.asarray(back["log_prob"])
    np.testing.assert_array_equal(log_prob, arrays.log_prob)
    assert log_prob.dtype == np.float32
    assert list(back["status"] if kind != "arrow" else back["status"].to_pylist()) == list(
        arrays.status
    )
    if kind == "pandas":
        assert back.index.equals(frame.index)
        assert back.attrs == arrays.facts
        assert str(back["is_anomaly"].dtype) == "boolean"
        assert back["is_anomaly"].isna().sum() == 1
    if kind == "arrow":
        assert json.loads(back.schema.metadata[b"logdet"]) == arrays.facts
        assert back["is_anomaly"].null_count == 1


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_may_hold_its_context(client: Client, kind: str) -> None:
    x = rows_given(GIVEN)
    own = {name: x[:, place] for place, name in enumerate(NAMES)}
    given = {name: GIVEN[:, place] for place, name in enumerate(CONTEXT)}
    expected = client.log_prob("given", x, context=GIVEN)
    np.testing.assert_allclose(expected.log_prob, exact_given(x, GIVEN).log_prob, atol=1e-4)
    together = client.log_prob("given", FRAMES[kind](given | own))
    apart = client.log_prob("given", FRAMES[kind](own), context=FRAMES[kind](given))
    mixed = client.log_prob("given", x, context=FRAMES[kind](given), frame="numpy")
    for answer in (together, apart, mixed):
        np.testing.assert_array_equal(np.asarray(answer["log_prob"]), expected.log_prob)


def test_dicts_are_rows_as_in_json(url: str, client: Client) -> None:
    dicts = [dict(zip(reversed(NAMES), row[::-1], strict=True)) for row in listed(X)]
    answer = client.score("gauss", dicts)
    expected = client.score("gauss", X)
    assert isinstance(answer, Answer)
    for column in expected:
        np.testing.assert_array_equal(answer[column], expected[column])
    assert by_json(url, "gauss", "score", {"rows": dicts})["status"] == answer.status.tolist()


def test_dicts_may_hold_their_context(client: Client) -> None:
    x = rows_given(GIVEN)
    own = [dict(zip(NAMES, row, strict=True)) for row in x.tolist()]
    given = [dict(zip(CONTEXT, row, strict=True)) for row in GIVEN.tolist()]
    expected = client.log_prob("given", x, context=GIVEN).log_prob
    together = [a | b for a, b in zip(own, given, strict=True)]
    np.testing.assert_array_equal(client.log_prob("given", together).log_prob, expected)
    apart = client.log_prob("given", own, context=given)
    np.testing.assert_array_equal(apart.log_prob, expected)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_drawn_rows_may_be_a_frame(client: Client, kind: Any) -> None:
    frame = client.sample("gauss", 30, seed=1, frame=kind)
    array = client.sample("gauss", 30, seed=1)
    for place, name in enumerate(NAMES):
        np.testing.assert_array_equal(np.asarray(frame[name]), array.rows[:, place])
    back = client.log_prob("gauss", frame)
    np.testing.assert_allclose(np.asarray(back["log_prob"]), array.log_prob, atol=1e-5)


def test_latents_may_be_a_frame_of_encode(client: Client) -> None:
    frame = client.encode("gauss", pd.DataFrame(X[6:], columns=NAMES))
    assert list(frame.columns) == ["z0", "z1", "z2", "log_det", "status"]
    back = client.decode("gauss", frame)
    np.testing.assert_allclose(back[list(NAMES)], X[6:], atol=1e-4)


def test_names_of_matrices_in_frames(client: Client) -> None:
    x = pd.DataFrame(X, columns=NAMES)
    assert list(client.feature_log_prob("ordered", x))[1:5] == [f"log_prob_{n}" for n in NAMES]
    linear = client.sample("vae", 3, frame="pandas")
    names = [n for n in linear if n not in ("z0", "z1", "status")]
    back = client.reconstruct("vae", linear)
    assert list(back) == [*(f"reconstructed_{name}" for name in names), "error", "status"]
    encoded = client.encode("vae", linear)
    assert [n for n in encoded if n.startswith("mean")] == ["mean_z0", "mean_z1"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int16])
def test_arrays_of_any_numbers_are_the_numbers(client: Client, dtype: Any) -> None:
    x = np.round(ordinary_rows(5)).astype(dtype)
    answer = client.log_prob("ordered", x)
    expected = client.log_prob("ordered", x.astype(np.float64).tolist())
    np.testing.assert_array_equal(answer.log_prob, expected.log_prob)


def test_pieces_are_the_whole(client: Client, url: str) -> None:
    x = ordinary_rows(10_000)
    x[::7, 0] = np.nan
    whole = client.score("gauss", x)
    with Client(url, chunk_rows=999) as pieces:
        cut = pieces.score("gauss", x)
        assert cut.facts == whole.facts
        assert cut.status.tolist() == whole.status.tolist()
        np.testing.assert_array_equal(cut.is_anomaly.mask, whole.is_anomaly.mask)
        np.testing.assert_allclose(cut.log_prob, whole.log_prob, atol=1e-5)
        given = contexts(2500)
        rows = rows_given(given)
        np.testing.assert_allclose(
            pieces.log_prob("given", rows, context=given).log_prob,
            exact_given(rows, given).log_prob,
            atol=1e-4,
        )
        frame = pieces.encode("gauss", pd.DataFrame(x, columns=NAMES).iloc[5000:])
        assert frame.index.tolist() == list(range(5000, 10_000))


def test_anomalies_of_a_large_call_all_get_their_nearest_row(client: Client) -> None:
    """More of them than a service takes in one request."""
    x = ordinary_rows(30_000) + np.array([90.0, 0.0, 0.0, 0.0])
    answer = client.score("gauss", x, nearest=True)
    assert answer.is_anomaly.all()
    assert np.isfinite(answer.log_prob_nearest).all()


def test_what_is_judged_together_is_not_cut(client: Client, url: str) -> None:
    x = ordinary_rows(200)
    x[150:, 0] += 90.0
    whole = client.score("gauss", x, fdr=0.1)
    assert whole.alpha == pytest.approx(whole.is_anomaly.sum() * 0.1 / 200)
    with Client(url, chunk_rows=7) as pieces:
        cut = pieces.score("gauss", x, fdr=0.1)
    assert cut.facts == whole.facts
    assert cut.is_anomaly.tolist() == whole.is_anomaly.tolist()
    with pytest.raises(InvalidInput, match="got both"):
        client.score("gauss", x, fdr=0.1, alpha=0.1)
    many = np.zeros((262_145, 4))
    with pytest.raises(TooLarge, match="logdet score gauss FILE"):
        client.score("gauss", many, fdr=0.1)


def test_what_depends_on_the_place_of_a_row_is_not_cut(client: Client, url: str) -> None:
    x = linear_rows(200)
    with Client(url, chunk_rows=7) as pieces:
        for ask_of in (client, pieces):
            ask_of.log_prob_bound("vae", x, samples=5, seed=2)
        np.testing.assert_array_equal(
            pieces.log_prob_bound("vae", x, samples=5, seed=2).elbo,
            client.log_prob_bound("vae", x, samples=5, seed=2).elbo,
        )
        np.testing.assert_array_equal(
            pieces.encode("vae", x, seed=2).z, client.encode("vae", x, seed=2).z
        )
        assert pieces.sample("gauss", 100, seed=2).rows.shape == (100, 4)


def test_more_rows_than_a_request_may_have(client: Client) -> None:
    x = np.tile(ordinary_rows(1000), (300, 1))
    answer = client.log_prob("gauss", x)
    assert answer.log_prob.shape == (300_000,)
    np.testing.assert_allclose(answer.log_prob[-1000:], answer.log_prob[:1000], atol=1e-5)
    with pytest.raises(TooLarge, match="262144 rows"):
        client.sample("gauss", 300_000)


def test_expectations(client: Client) -> None:
    of = [{"mean": "flow"}, {"probability": {"flow": [None, -3.0]}}]
    told = client.expectation("gauss", of, samples=5000, seed=0)
    mean, share = told["of"]
    assert mean["mean"] == "flow"
    assert abs(mean["value"] + 3.0) < 5 * mean["standard_error"]
    assert abs(share["value"] - 0.5) < 5 * share["standard_error"]
    assert told["samples"] == 5000
    given = dict(zip(CONTEXT, GIVEN[0].tolist(), strict=True))
    asked = {"samples": 100, "seed": 0, "version": 1}
    by_place = client.expectation("given", of, context=GIVEN[:1], **asked)
    assert client.expectation("given", of, context=[given], **asked) == by_place
    with pytest.raises(InvalidInput, match="expected what JSON can say"):
        client.expectation("gauss", [{"mean": np.nan}])


def test_drift(client: Client) -> None:
    before = client.drift("gauss", 1)
    client.score("gauss", ordinary_rows(250), version=1)
    after = client.drift("gauss", 1)
    assert (after["model"], after["version"], after["alarm"]) == ("gauss", 1, False)
    assert after["rows"] - before["rows"] in (250, 500)  # others' rows fill a block with these
    with pytest.raises(NotFound, match="no model is named"):
        client.drift("nobody")


def test_models_and_manifests(client: Client) -> None:
    catalogue = {entry["name"]: entry for entry in client.models()}
    assert catalogue["gauss"]["versions"] == [1, 2]
    assert client.model("gauss")["version"] == 2
    assert client.model("gauss", 1)["version"] == 1
    assert [f["name"] for f in client.model("gauss")["features"]] == list(NAMES)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda c: c.log_prob("nobody", X), NotFound, "nobody"),
        (lambda c: c.log_prob("a b?c#%2f", X), NotFound, r"a b\?c#%2f"),
        (lambda c: c.log_prob("gauss/versions/1", X), InvalidInput, "name of a model"),
        (lambda c: c.model(""), InvalidInput, "name of a model"),
        (lambda c: c.model(None), InvalidInput, "^expected the name of a model, got None$"),
        (lambda c: c.score(None, X), InvalidInput, "^expected the name of a model, got None$"),
        (lambda c: c.expectation(None, []), InvalidInput, "name of a model, got None$"),
        (
            lambda c: c.score("gauss", None),
            InvalidInput,
            "rows to be a frame, a list .*, got None",
        ),
        (lambda c: c.decode("gauss", None), InvalidInput, "z to be a frame, a list .*, got None"),
        (lambda c: c.score("gauss", iter(X)), InvalidInput, "rows to be .*; make it a list"),
        (lambda c: c.score("gauss", [{"flow": 1.0}]), InvalidInput, "expected 'pressure' in each"),
        (lambda c: c.log_prob("gauss", X, version=9), NotFound, "9"),
        (lambda c: c.log_prob("gauss", X[:, :3]), InvalidInput, "expected 4 columns in rows"),
        (lambda c: c.log_prob("gauss", X, steps=3), InvalidInput, "steps"),
        (lambda c: c.score("gauss", X, alpha=2.0), InvalidInput, "alpha"),
        (lambda c: c.score("gauss", X, alpha="x"), InvalidInput, "alpha"),
        (lambda c: c.log_prob_bound("gauss", X), Unsupported, "log_prob_bound"),
        (lambda c: c.log_prob("given", X), InvalidInput, "missing: second, load, plant"),
        (lambda c: c.log_prob("gauss", X, context=GIVEN), InvalidInput, "expected no context"),
        (lambda c: c.log_prob("given", X, context=GIVEN[:3]), InvalidInput, "1 or 20 rows"),
        (lambda c: c.sample("given", 5, context=GIVEN), InvalidInput, "1 or 5 rows"),
        (lambda c: c.sample("gauss", 0), InvalidInput, "1"),
        (lambda c: c.sample("gauss", 2.5), InvalidInput, "'n'"),
        (lambda c: c.log_prob("gauss", [["a", 1, 2, 3]]), InvalidInput, "string in 'pressure'"),
        (lambda c: c.log_prob("gauss", X > 0), InvalidInput, "bool in 'pressure'"),
        (lambda c: c.log_prob("gauss", [[2**60, 0, 0, 0]]), InvalidInput, "pressure"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    client: Client, wrong: Callable[[Client], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as refused:
        wrong(client)
    assert "\n" not in str(refused.value)


def test_a_call_ends_with_its_time(client: Client) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        client.log_prob_bound("vae", LINEAR, samples=100_000, timeout=0.05)
    assert time.monotonic() - started < 1.0


def test_a_frame_of_no_rows_is_one(client: Client) -> None:
    frame = client.encode("gauss", pd.DataFrame(np.empty((0, 4)), columns=NAMES))
    assert len(frame) == 0


def test_threads_share_a_client(client: Client) -> None:
    x = ordinary_rows(64)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(
            pool.map(lambda i: client.log_prob("gauss", x[i : i + 1]).log_prob[0], range(64))
        )
    np.testing.assert_allclose(got, exact(x).log_prob, atol=1e-4)


def test_async_calls_run_together(url: str, client: Client) -> None:
    x = ordinary_rows(64)

    async def work() -> tuple[list[Any], Any, Any]:
        async with AsyncClient(url) as asking:
            each = [asking.log_prob("gauss", x[i : i + 1]) for i in range(64)]
            answers = await asyncio.gather(*each)
            return answers, await asking.models(), await asking.model("gauss")

    answers, models, manifest = asyncio.run(work())
    got = [answer.log_prob[0] for answer in answers]
    np.testing.assert_allclose(got, exact(x).log_prob, atol=1e-4)
    assert models == client.models()
    assert manifest == client.model("gauss")


def test_both_clients_have_every_operation_and_no_other() -> None:
    public = [name for name in dir(Client) if not name.startswith("_")]
    assert public == [name for name in dir(AsyncClient) if not name.startswith("_")]
    operations = {operation for _, operation, _ in CALLS.values()}
    assert set(public) == operations | {"models", "model", "drift", "expectation", "close"}


def test_the_import_is_light() -> None:
    heavy = ["torch", "ray", "onnxruntime", "sklearn", "pandas", "polars", "matplotlib"]
    heavy += ["pyarrow", "grpc", "service"]
    program = (
        "import sys, logdet; from logdet import AsyncClient, Client; "
        "Client('http://127.0.0.1:1'); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
