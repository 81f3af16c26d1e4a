"""VAEs and autoencoders, against any engine."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import httpx
import numpy as np
import pytest

from exported.calibration import Calibration
from tests.bundles import CALIBRATION_ROWS, SITE
from tests.linear_gaussian import (
    DEFAULT_DEPTH,
    OFFERED,
    SAMPLES,
    SEED,
    exact_error,
    exact_log_prob,
    exact_mean,
    exact_rows,
    exact_score,
    minus_error,
    rows,
)

ROW = rows(1).tolist()
PER_ROW = (
    "elbo",
    "elbo_standard_error",
    "importance_bound",
    "standard_error",
    "effective_sample_size",
    "status",
)


def call(api: httpx.Client, operation: str, body: dict[str, Any], model: str = "vae") -> Any:
    response = api.post(f"/v1/models/{model}/{operation}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("depth", [None, *OFFERED])
def test_the_bound_of_many_samples_is_the_density(api: httpx.Client, depth: int | None) -> None:
    x = rows(20, seed=3)
    body = {"rows": x.tolist(), "samples": 5000, "seed": 1, "depth": depth}
    answer = call(api, "log_prob_bound", body)
    apart = np.abs(np.array(answer["importance_bound"]) - exact_log_prob(x))
    assert (apart <= 3.0 * np.array(answer["standard_error"]) + 1e-3).all()
    assert answer["density"] == "lower_bound"
    assert [answer[key] for key in ("samples", "seed")] == [5000, 1]
    assert answer["depth"] == (DEFAULT_DEPTH if depth is None else depth)
    assert all(
        e <= b + 1e-4 for e, b in zip(answer["elbo"], answer["importance_bound"], strict=True)
    )
    assert all(1.0 <= n <= 5000.1 for n in answer["effective_sample_size"])
    assert all(len(answer[field]) == 20 for field in PER_ROW)


def test_nothing_of_a_bound_is_called_a_density(api: httpx.Client) -> None:
    for operation in ("log_prob_bound", "score", "encode", "reconstruct"):
        answer = call(api, operation, {"rows": ROW})
        assert answer["density"] == "lower_bound"
        assert not any(key.startswith("log_prob") for key in answer)


def test_a_seed_draws_the_same_bound_again_on_any_replica(api: httpx.Client) -> None:
    body: dict[str, Any] = {"rows": rows(5).tolist(), "samples": 40}
    first = call(api, "log_prob_bound", body)
    for _ in range(4):
        again = call(api, "log_prob_bound", body | {"seed": first["seed"]})
        np.testing.assert_allclose(again["elbo"], first["elbo"], atol=1e-4)
    assert call(api, "log_prob_bound", body)["seed"] != first["seed"]


def test_a_row_that_comes_first_has_its_bound_whatever_follows(api: httpx.Client) -> None:
    x = rows(500)
    body = {"samples": 300, "seed": 2}
    alone = call(api, "log_prob_bound", body | {"rows": x[:3].tolist()})
    among = call(api, "log_prob_bound", body | {"rows": x.tolist()})
    for field in PER_ROW[:-1]:
        np.testing.assert_allclose(among[field][:3], alone[field], rtol=1e-4, atol=1e-4)


def test_without_a_number_a_bound_has_the_samples_of_a_score(api: httpx.Client) -> None:
    assert call(api, "log_prob_bound", {"rows": ROW})["samples"] == SAMPLES


def test_one_sample_has_no_error(api: httpx.Client) -> None:
    answer = call(api, "log_prob_bound", {"rows": ROW, "samples": 1, "seed": 0})
    assert answer["standard_error"] == answer["elbo_standard_error"] == [None]
    assert answer["elbo"] == answer["importance_bound"]


def test_a_score_is_calibrated_and_depends_on_the_row_alone(api: httpx.Client) -> None:
    x = rows(100, seed=4)
    x[0, :2] += 30.0
    truth = exact_score(x)
    answer = call(api, "score", {"rows": x.tolist(), "alpha": 0.05})
    np.testing.assert_allclose(answer["score"], truth, rtol=1e-4, atol=1e-3)
    calibration = Calibration.of(exact_score(rows(CALIBRATION_ROWS, seed=2)))
    expected = calibration.p_value(truth)
    np.testing.assert_allclose(answer["p_value"], expected, atol=2 / CALIBRATION_ROWS)
    assert answer["threshold"] == pytest.approx(calibration.threshold(0.05), abs=1e-3)
    assert answer["is_anomaly"] == [p <= 0.05 for p in answer["p_value"]]
    assert answer["is_anomaly"][0]
    told = [answer[key] for key in ("samples", "seed", "depth", "alpha")]
    assert told == [SAMPLES, SEED, DEFAULT_DEPTH, 0.05]
    last = call(api, "score", {"rows": [x[99].tolist()]})["score"]
    assert last[0] == pytest.approx(answer["score"][99], abs=1e-4)


def test_concurrent_scores_are_their_own(api: httpx.Client) -> None:
    x = rows(100)
    truth = exact_score(x)

    def one(place: int) -> float:
        return call(api, "score", {"rows": [x[place].tolist()]})["score"][0]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        np.testing.assert_allclose(list(pool.map(one, range(100))), truth, atol=1e-3)


def test_encode_gives_the_centre_or_a_draw(api: httpx.Client) -> None:
    x = rows(6)
    centre = call(api, "encode", {"rows": x.tolist()})
    np.testing.assert_allclose(centre["mean"], exact_mean(x), atol=1e-4)
    np.testing.assert_allclose(centre["z"], exact_mean(x), atol=1e-4)
    assert np.shape(centre["scale"]) == (6, 2)
    assert centre["seed"] is None
    assert centre["depth"] == DEFAULT_DEPTH
    drawn, again = (call(api, "encode", {"rows": x.tolist(), "seed": 3}) for _ in range(2))
    assert drawn["seed"] == 3
    assert drawn["z"] != centre["z"]
    np.testing.assert_allclose(again["z"], drawn["z"], atol=1e-5)
    exact = call(api, "encode", {"rows": x.tolist(), "seed": 3, "depth": 2})
    assert exact["z"] != drawn["z"]


def test_decode_and_reconstruct_give_means(api: httpx.Client) -> None:
    x = rows(6)
    z = exact_mean(x)
    back = exact_rows(z)
    made = call(api, "decode", {"z": z.tolist()})
    np.testing.assert_allclose(made["rows"], back, rtol=1e-5)
    assert set(made) == {"model", "version", "density", "rows", "status"}
    for depth in OFFERED:
        got = call(api, "reconstruct", {"rows": x.tolist(), "depth": depth})
        np.testing.assert_allclose(got["rows"], back, rtol=1e-5)
        np.testing.assert_allclose(got["error"], exact_error(x, back), atol=1e-5)
        assert got["depth"] == depth


def test_samples_are_rows_of_the_table_with_their_latents(api: httpx.Client) -> None:
    many = call(api, "sample", {"n": 3000, "seed": 9})
    x = np.array(many["rows"])
    assert (x[:, 2] == np.round(x[:, 2])).all()
    assert set(x[:, 3]) == {SITE}
    assert np.shape(many["z"]) == (3000, 2)
    assert "log_prob" not in many
    few = call(api, "sample", {"n": 10, "seed": 9})
    np.testing.assert_allclose(few["rows"], x[:10], rtol=1e-6)
    assert call(api, "score", {"rows": few["rows"]})["status"] == ["ok"] * 10
    cold = call(api, "sample", {"n": 2, "seed": 9, "temperature": 0.0})
    assert cold["z"] == [[0.0, 0.0]] * 2
    assert cold["rows"][0] != cold["rows"][1]


def test_rows_that_are_not_fit_are_their_own_problem(api: httpx.Client) -> None:
    x = rows(4).tolist()
    x[1][0], x[2][2] = None, 40.5
    statuses = ["ok", "non_finite_input", "out_of_support", "ok"]
    bound = call(api, "log_prob_bound", {"rows": x, "samples": 10})
    assert bound["status"] == statuses
    for field in PER_ROW[:-1]:
        assert [value is None for value in bound[field]] == [False, True, True, False]
    for model in ("vae", "auto"):
        scored = call(api, "score", {"rows": x}, model)
        assert scored["status"] == statuses
        assert scored["score"][1:3] == [None, None]
        assert scored["is_anomaly"][1:3] == [None, True]
        back = call(api, "reconstruct", {"rows": x}, model)
        assert back["status"] == statuses
        assert back["error"][1:3] == [None, None]
        assert back["rows"][1] == [None] * 4
    latents = {"z": [[0.0, 0.0], [None, 0.0]]}
    assert call(api, "decode", latents)["status"] == ["ok", "non_finite_input"]


def test_a_model_without_a_choice_of_depths_says_none(api: httpx.Client) -> None:
    for operation in ("log_prob_bound", "score", "encode", "reconstruct"):
        assert "depth" not in call(api, operation, {"rows": ROW}, "plain")
        assert "depth" in call(api, operation, {"rows": ROW}, "vae")


def test_an_autoencoder_encodes_and_scores_by_its_error(api: httpx.Client) -> None:
    x = rows(50)
    encoded = call(api, "encode", {"rows": x.tolist()}, "auto")
    np.testing.assert_allclose(encoded["z"], exact_mean(x), atol=1e-4)
    assert encoded["density"] == "none"
    scored = call(api, "score", {"rows": x.tolist()}, "auto")
    np.testing.assert_allclose(scored["score"], minus_error(x), atol=1e-4)
    calibration = Calibration.of(minus_error(rows(CALIBRATION_ROWS, seed=2)))
    expected = calibration.p_value(minus_error(x))
    np.testing.assert_allclose(scored["p_value"], expected, atol=2 / CALIBRATION_ROWS)
    back = call(api, "reconstruct", {"rows": x.tolist()}, "auto")
    np.testing.assert_allclose(back["error"], -np.array(scored["score"]), atol=1e-5)
    made = call(api, "decode", {"z": encoded["z"]}, "auto")
    np.testing.assert_allclose(made["rows"], back["rows"], rtol=1e-5)


BOUND = "log_prob_bound"
# name: (model, operation, body, kind, words that the sentence must have)
REFUSED: dict[str, tuple[str, str, dict[str, Any], str, list[str]]] = {
    "no samples": ("vae", BOUND, {"samples": 0}, "invalid_input", ["'samples'", "got 0"]),
    "too many": ("vae", BOUND, {"samples": 100_001}, "invalid_input", ["100000", "100001"]),
    "samples as text": ("vae", BOUND, {"samples": "9"}, "invalid_input", ["whole number"]),
    "a fraction": ("vae", BOUND, {"samples": 1.5}, "invalid_input", ["whole number"]),
    "a negative seed": ("vae", BOUND, {"seed": -1}, "invalid_input", ["'seed'", "-1"]),
    "a depth not on offer": ("vae", BOUND, {"depth": 3}, "invalid_input", ["one of 0, 1, 2"]),
    "no choice of depths": (
        "plain",
        BOUND,
        {"depth": 1},
        "invalid_input",
        ["no 'depth'", "the posterior of plain has one depth only"],
    ),
    "a depth as text": ("vae", "encode", {"depth": "1"}, "invalid_input", ["whole number"]),
    "steps": ("vae", BOUND, {"steps": 8}, "invalid_input", ["unknown field 'steps'", "depth"]),
    "a context": ("vae", "score", {"context": [[1.0]]}, "invalid_input", ["'context'"]),
    "a score at other samples": (
        "vae",
        "score",
        {"samples": SAMPLES + 1},
        "invalid_input",
        [f"'samples' of {SAMPLES}", "calibrated", "log_prob_bound takes other numbers"],
    ),
    "a score of another seed": ("vae", "score", {"seed": 0}, "invalid_input", [f"of {SEED}"]),
    "a score at another depth": (
        "vae",
        "score",
        {"depth": 2},
        "invalid_input",
        [f"'depth' of {DEFAULT_DEPTH}", "calibrated"],
    ),
    "an alpha": ("vae", "score", {"alpha": 1e-6}, "invalid_input", ["calibration rows"]),
    "a density of a vae": (
        "vae",
        "log_prob",
        {},
        "unsupported",
        ["it has: decode, encode, log_prob_bound, reconstruct, sample, score"],
    ),
    "a bound of a flow": ("gauss", BOUND, {}, "unsupported", ["'log_prob_bound'", "expectation"]),
    "a bound of an autoencoder": (
        "auto",
        BOUND,
        {},
        "unsupported",
        ["it has: decode, encode, reconstruct, score"],
    ),
    "a seed of an autoencoder": (
        "auto",
        "encode",
        {"seed": 1},
        "invalid_input",
        ["unknown field 'seed'"],
    ),
    "depth of a flow": ("gauss", "log_prob", {"depth": 1}, "invalid_input", ["'depth'"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_refused_with_a_reason(api: httpx.Client, name: str) -> None:
    model, operation, body, kind, words = REFUSED[name]
    response = api.post(f"/v1/models/{model}/{operation}", json={"rows": ROW} | body)
    assert response.status_code == 400, response.text
    answer = response.json()
    assert answer["kind"] == kind
    for word in words:
        assert word in answer["error"]
    assert call(api, "score", {"rows": ROW})["status"] == ["ok"]


def test_what_would_take_minutes_is_too_large(api: httpx.Client) -> None:
    body = {"rows": ROW * 1000, "samples": 100_000}
    response = api.post("/v1/models/vae/log_prob_bound", json=body)
    assert response.status_code == 413
    assert response.json()["kind"] == "too_large"
    assert "1000 rows of 100000" in response.json()["error"]
    for operation in ("sample", "reconstruct"):
        many = {"n": 10**9} if operation == "sample" else {"rows": ROW * 262_145}
        refused = api.post(f"/v1/models/vae/{operation}", json=many)
        assert refused.status_code == 413, refused.text
