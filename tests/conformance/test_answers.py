"""Good requests, against any engine."""

from __future__ import annotations

import concurrent.futures
import gzip
import json
import math
import zlib
from typing import Any

import httpx
import numpy as np
import pytest

from exported.calibration import Calibration
from tests.bundles import CALIBRATION_ROWS, NAMES, SITE, exact, exact_decode, ordinary_rows
from tests.variants import CONTEXT, exact_terms

GAUSS = "/v1/models/gauss"


def call(api: httpx.Client, operation: str, body: dict[str, Any], model: str = GAUSS) -> Any:
    response = api.post(f"{model}/{operation}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_log_prob_is_what_the_formula_says(api: httpx.Client) -> None:
    x = ordinary_rows(50)
    answer = call(api, "log_prob", {"rows": x.tolist()})
    assert answer["model"] == "gauss"
    assert answer["version"] == 2
    assert answer["density"] == "exact"
    assert answer["status"] == ["ok"] * 50
    np.testing.assert_allclose(answer["log_prob"], exact(x).log_prob, atol=1e-4)


def test_rows_by_feature_name_in_any_order_are_the_same_rows(api: httpx.Client) -> None:
    x = ordinary_rows(5)
    by_name = [dict(reversed(list(zip(NAMES, row, strict=True)))) for row in x.tolist()]
    listed = call(api, "log_prob", {"rows": x.tolist()})
    assert call(api, "log_prob", {"rows": by_name}) == listed


def test_a_row_alone_and_among_a_thousand_gets_the_same_answer(api: httpx.Client) -> None:
    x = ordinary_rows(1000)
    together = call(api, "log_prob", {"rows": x.tolist()})["log_prob"]
    for place in (0, 17, 999):
        alone = call(api, "log_prob", {"rows": [x[place].tolist()]})["log_prob"]
        assert alone[0] == pytest.approx(together[place], abs=1e-5)


def test_concurrent_requests_get_their_own_answers(api: httpx.Client) -> None:
    x = ordinary_rows(200)
    truth = exact(x).log_prob

    def one(place: int) -> float:
        return call(api, "log_prob", {"rows": [x[place].tolist()]})["log_prob"][0]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(one, range(200)))
    np.testing.assert_allclose(got, truth, atol=1e-4)


def test_feature_log_prob_is_that_of_each_feature_given_those_before_it(
    api: httpx.Client,
) -> None:
    x = ordinary_rows(20)
    x[3, 2] = 0.5  # No whole number: out of support.
    answer = call(api, "feature_log_prob", {"rows": x.tolist()}, "/v1/models/ordered")
    inside = np.arange(20) != 3
    terms = [row for row, kept in zip(answer["feature_log_prob"], inside, strict=True) if kept]
    np.testing.assert_allclose(terms, exact_terms(x[inside]), atol=1e-4)
    log_prob = np.array(answer["log_prob"], dtype=float)[inside]
    np.testing.assert_allclose(np.sum(terms, axis=1), log_prob, atol=1e-4)
    assert answer["status"][3] == "out_of_support"
    assert answer["log_prob"][3] is None
    assert answer["feature_log_prob"][3] == [None] * 4


def test_score_decides_by_conformal_p_value(api: httpx.Client) -> None:
    x = ordinary_rows(200, seed=3)
    x[0, :2] += 40.0
    calibration = Calibration.of(exact(ordinary_rows(CALIBRATION_ROWS, seed=2)).log_prob)
    answer = call(api, "score", {"rows": x.tolist(), "alpha": 0.05})
    expected = calibration.p_value(exact(x).log_prob)
    np.testing.assert_allclose(answer["p_value"], expected, atol=2 / CALIBRATION_ROWS)
    assert answer["alpha"] == 0.05
    assert answer["threshold"] == pytest.approx(calibration.threshold(0.05))
    assert answer["is_anomaly"] == [p <= 0.05 for p in answer["p_value"]]
    assert answer["is_anomaly"][0]


def test_score_has_a_default_alpha(api: httpx.Client) -> None:
    assert call(api, "score", {"rows": ordinary_rows(1).tolist()})["alpha"] == 0.01


@pytest.mark.parametrize("field", ["alpha", "seed", "temperature"])
def test_a_field_that_is_null_is_one_that_was_left_out(api: httpx.Client, field: str) -> None:
    if field == "alpha":
        body: dict[str, Any] = {"rows": ordinary_rows(3).tolist()}
        assert call(api, "score", body | {"alpha": None}) == call(api, "score", body)
        return
    body = {"n": 4, "seed": 1, "temperature": 1.0}
    drawn = call(api, "sample", body | {field: None})
    expected = call(api, "sample", body | {"seed": drawn["seed"]})
    assert drawn == expected


def test_a_drawn_or_decoded_constant_is_the_manifests_number(api: httpx.Client) -> None:
    drawn = call(api, "sample", {"n": 20, "seed": 2})["rows"]
    decoded = call(api, "decode", {"z": [[0.1, 0.2, 0.3]]})["rows"]
    assert {row[3] for row in drawn + decoded} == {SITE}
    assert call(api, "score", {"rows": drawn})["status"] == ["ok"] * 20


def test_encode_gives_latents_and_log_det(api: httpx.Client) -> None:
    x = ordinary_rows(7)
    answer = call(api, "encode", {"rows": x.tolist()})
    np.testing.assert_allclose(answer["z"], exact(x).z, atol=1e-4)
    np.testing.assert_allclose(answer["log_det"], exact(x).log_det, atol=1e-4)


def test_decode_undoes_encode(api: httpx.Client) -> None:
    x = ordinary_rows(7)
    z = call(api, "encode", {"rows": x.tolist()})["z"]
    answer = call(api, "decode", {"z": z})
    np.testing.assert_allclose(answer["rows"], x, atol=1e-4)
    np.testing.assert_allclose(answer["log_prob"], exact(x).log_prob, atol=1e-4)
    assert answer["status"] == ["ok"] * 7


def test_samples_have_the_moments_of_the_density(api: httpx.Client) -> None:
    answer = call(api, "sample", {"n": 20_000, "seed": 1})
    rows = np.array(answer["rows"])
    np.testing.assert_allclose(rows[:, :3].mean(axis=0), [10.0, -3.0, 39.5], atol=0.2)
    np.testing.assert_allclose(rows[:, :3].std(axis=0), [2.0, 2.0**0.5, 6.0], rtol=0.05)


def test_sampled_integers_are_whole_and_log_prob_is_that_of_the_row_as_emitted(
    api: httpx.Client,
) -> None:
    answer = call(api, "sample", {"n": 100, "seed": 5})
    rows = np.array(answer["rows"])
    assert (rows[:, 2] == np.round(rows[:, 2])).all()
    assert set(rows[:, 3]) == {SITE}
    np.testing.assert_allclose(answer["log_prob"], exact(rows).log_prob, atol=1e-3)
    again = call(api, "log_prob", {"rows": answer["rows"]})
    np.testing.assert_allclose(again["log_prob"], answer["log_prob"], atol=1e-5)


def test_the_same_seed_draws_the_same_rows_whatever_their_number(api: httpx.Client) -> None:
    many = call(api, "sample", {"n": 3000, "seed": 9})["rows"]
    few = call(api, "sample", {"n": 10, "seed": 9})["rows"]
    np.testing.assert_allclose(few, many[:10], rtol=1e-6)


def test_a_seed_not_given_is_drawn_and_returned(api: httpx.Client) -> None:
    first = call(api, "sample", {"n": 4})
    second = call(api, "sample", {"n": 4})
    assert first["seed"] != second["seed"]
    assert call(api, "sample", {"n": 4, "seed": first["seed"]})["rows"] == first["rows"]


def test_temperature_zero_draws_the_middle(api: httpx.Client) -> None:
    rows = call(api, "sample", {"n": 2, "seed": 0, "temperature": 0.0})["rows"]
    middle = exact_decode(np.zeros((1, 3)))[0]
    np.testing.assert_allclose(rows[0][:2], middle[:2], atol=1e-5)


def test_expectations_are_answered_in_order_with_their_errors(api: httpx.Client) -> None:
    of = [
        {"probability": {"pressure": [None, 10], "count": [0, 200]}},
        {"mean": "pressure"},
        {"variance": "flow"},
        {"quantile": "count", "q": 0.5},
    ]
    answer = call(api, "expectation", {"of": of, "samples": 50_000, "seed": 3})
    assert [answer[key] for key in ("model", "version", "density")] == ["gauss", 2, "exact"]
    assert [answer[key] for key in ("samples", "excluded", "seed")] == [50_000, 0, 3]
    for asked, got, truth in zip(of, answer["of"], (0.5, 10.0, 2.0, 40.0), strict=True):
        assert asked.items() <= got.items()
        # Half of the counts lie under the middle of a cell: their median is it or the one below.
        whole = 1.0 if "quantile" in asked else 0.0
        assert abs(got["value"] - truth) <= max(4.0 * got["standard_error"], whole)
    mean, variance = answer["of"][1:3]
    assert mean["standard_error"] == pytest.approx(2.0 / 50_000**0.5, rel=0.05)
    assert variance["standard_error"] == pytest.approx(2.0 * (2.0 / 50_000) ** 0.5, rel=0.1)


def test_an_expectation_is_that_of_the_rows_that_its_seed_draws(api: httpx.Client) -> None:
    body = {"of": [{"mean": "flow"}], "samples": 5000}
    drawn = call(api, "expectation", body)
    assert call(api, "expectation", body | {"seed": drawn["seed"]}) == drawn
    rows = call(api, "sample", {"n": 5000, "seed": drawn["seed"]})["rows"]
    assert drawn["of"][0]["value"] == pytest.approx(np.mean([row[1] for row in rows]), abs=1e-6)
    assert call(api, "expectation", {"of": [{"mean": "flow"}]})["samples"] == 10_000


def test_an_error_that_the_samples_cannot_tell_is_null(api: httpx.Client) -> None:
    tail = {"quantile": "flow", "q": 0.999}
    (got,) = call(api, "expectation", {"of": [tail], "samples": 100, "seed": 0})["of"]
    assert got["standard_error"] is None
    assert got["value"] > -2.0


def test_a_row_that_is_not_finite_is_its_own_problem(api: httpx.Client) -> None:
    x = ordinary_rows(3)
    rows = x.tolist()
    rows[1][0] = None
    answer = call(api, "score", {"rows": rows})
    assert answer["status"] == ["ok", "non_finite_input", "ok"]
    assert answer["log_prob"][1] is None
    assert answer["p_value"][1] is None
    assert answer["is_anomaly"][1] is None
    np.testing.assert_allclose(
        [answer["log_prob"][0], answer["log_prob"][2]], exact(x[[0, 2]]).log_prob, atol=1e-4
    )


@pytest.mark.parametrize(
    ("column", "value"), [("count", 201.0), ("count", -1.0), ("count", 40.5), ("site", 7.2)]
)
def test_a_row_out_of_support_is_impossible_and_an_anomaly(
    api: httpx.Client, column: str, value: float
) -> None:
    row = dict(zip(NAMES, ordinary_rows(1)[0].tolist(), strict=True)) | {column: value}
    answer = call(api, "score", {"rows": [row]})
    assert answer["status"] == ["out_of_support"]
    assert answer["log_prob"] == [None]
    assert answer["is_anomaly"] == [True]
    assert answer["p_value"][0] == pytest.approx(1 / (CALIBRATION_ROWS + 1))


def test_a_latent_that_is_not_finite_is_its_own_problem(api: httpx.Client) -> None:
    answer = call(api, "decode", {"z": [[0.0, 0.0, 0.0], [None, 0.0, 0.0]]})
    assert answer["status"] == ["ok", "non_finite_input"]
    assert answer["rows"][1] == [None] * 4


def test_a_value_beyond_float32_is_out_of_support_and_an_anomaly(api: httpx.Client) -> None:
    answer = call(api, "score", {"rows": [[1e300, -3.0, 40, SITE]]})
    assert answer["status"] == ["out_of_support"]
    assert answer["is_anomaly"] == [True]


def test_the_version_may_be_named(api: httpx.Client) -> None:
    answer = call(api, "versions/1/log_prob", {"rows": ordinary_rows(1).tolist()})
    assert answer["version"] == 1


def test_the_catalogue_lists_what_serves_and_not_what_was_refused(api: httpx.Client) -> None:
    models = {m["name"]: m for m in api.get("/v1/models").json()["models"]}
    flows = {"gauss", "given", "ordered", "scored", "scorer", "stepped"}
    assert set(models) == flows | {"auto", "plain", "vae"}
    assert models["gauss"]["versions"] == [1, 2]
    assert models["gauss"]["features"] == models["given"]["features"] == list(NAMES)
    assert models["gauss"]["context_features"] == []
    assert models["given"]["context_features"] == list(CONTEXT)
    assert models["scorer"]["operations"] == ["log_prob", "score"]
    assert {models[name]["density"] for name in flows} == {"exact"}
    assert [models[name]["density"] for name in ("vae", "auto")] == ["lower_bound", "none"]
    assert models["auto"]["operations"] == ["decode", "encode", "reconstruct", "score"]


def test_a_model_shows_its_manifest(api: httpx.Client) -> None:
    newest = api.get(GAUSS).json()
    assert newest["version"] == 2
    assert newest["features"][2]["kind"] == "integer"
    assert api.get(GAUSS + "/versions/1").json()["version"] == 1


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_body_is_read(api: httpx.Client, encoding: str, pack: Any) -> None:
    body = pack(json.dumps({"rows": ordinary_rows(2).tolist()}).encode())
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    response = api.post(GAUSS + "/log_prob", content=body, headers=headers)
    assert response.status_code == 200
    assert response.json()["status"] == ["ok", "ok"]


def test_a_request_id_comes_back(api: httpx.Client) -> None:
    response = api.get("/healthz", headers={"x-request-id": "abc-123"})
    # Ray Serve's proxy sends it back as well.
    assert set(response.headers["x-request-id"].split(", ")) == {"abc-123"}


def test_health_answers(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}


def test_the_documentation_needs_no_other_server(api: httpx.Client) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    assert "//" not in page.text
    assert api.get("/docs/").text == page.text
    for file in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert f"/docs/{file}" in page.text
        assert api.get(f"/docs/{file}").status_code == 200
    assert api.get("/openapi.json").json()["openapi"].startswith("3.")


def test_a_large_request_is_answered_whole(api: httpx.Client) -> None:
    x = ordinary_rows(20_000, seed=4)
    answer = call(api, "log_prob", {"rows": x.tolist()})
    np.testing.assert_allclose(answer["log_prob"], exact(x).log_prob, atol=1e-3)
    assert not any(map(math.isnan, answer["log_prob"]))
