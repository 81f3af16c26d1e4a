"""Scores beside the log-density by every way in: the same decisions by the same scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from exported.bundle import read_bundle
from logdet import Client
from logdet.client import InvalidInput, Unsupported
from tests.bundles import CALIBRATION_ROWS, ordinary_rows
from tests.conformance.test_decisions import (
    WAYS,
    Asked,
    Found,
    digest,
    of_client,
    of_grpc_client,
    of_json,
)
from tests.scored import BESIDE, NAMED, REFERENCE_ROWS, combined, reference_log_prob, truth
from tests.tables import ARROW, CSV, arrow_bytes, csv_bytes, read_csv
from tests.variants import DEFAULT_STEPS, OFFERED, contexts, rows_given

ROWS = 300
# Further than this from each other are float32 answers about these rows and formulas never.
NEAR = {"rtol": 1e-5, "atol": 1e-3}


@pytest.fixture
def ask(engine: str, grpc_engine: str, bundles: Path) -> Callable[..., Asked]:
    def asked(x: Any, **rates: Any) -> Asked:
        return Asked("scored", x, rates, engine, grpc_engine, bundles)

    return asked


def rows_of() -> Any:
    x = ordinary_rows(ROWS, seed=5)
    x[9, 0] = np.nan
    x[10, 2] = 0.5  # no whole number
    x[-30:, :2] += 6.0
    return x


@pytest.mark.parametrize("by", NAMED)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_score_decides_alike_by_every_way(
    ask: Callable[..., Asked], way: Callable[[Asked], Found], by: str
) -> None:
    asked = ask(rows_of(), alpha=0.02, by=by)
    got, bundle = way(asked), read_bundle(asked.bundles / "scored" / "1")
    calibration = bundle.calibrations()[by]
    assert got.told["threshold"] == pytest.approx(calibration.threshold(0.02), rel=1e-4)
    assert got.told["alpha"] == 0.02
    assert got.told["calibration"] == digest(asked.bundles, "scored")[1]
    np.testing.assert_array_equal(got.p_value, of_json(asked).p_value)
    assert np.isnan(got.p_value[9])
    assert got.p_value[10] == 1 / (CALIBRATION_ROWS + 1)
    known = ~np.isnan(got.p_value)
    np.testing.assert_array_equal(got.is_anomaly[known], got.p_value[known] <= 0.02)
    if by in BESIDE[:3]:
        finite = np.flatnonzero(known)[np.flatnonzero(known) != 10]
        exact = calibration.p_value(truth(asked.x[finite])[by])
        np.testing.assert_allclose(got.p_value[finite], exact, atol=2 / CALIBRATION_ROWS)


@pytest.mark.parametrize("way", [of_json, of_client, of_grpc_client])
def test_an_fdr_judges_another_score_too(
    ask: Callable[..., Asked], way: Callable[[Asked], Found]
) -> None:
    got = way(ask(rows_of(), fdr=0.2, by="combined"))
    level = got.told["alpha"]
    known = ~np.isnan(got.p_value)
    np.testing.assert_array_equal(got.is_anomaly[known], got.p_value[known] <= level)
    assert got.is_anomaly[-30:].mean() > 0.5


def test_the_score_is_told_beside_log_prob(api: httpx.Client, grpc_engine: str) -> None:
    x = ordinary_rows(20, seed=6)
    url = "/v1/models/scored/score"
    answer = api.post(url, json={"rows": x.tolist(), "by": "latent_norm"}).json()
    np.testing.assert_allclose(answer["score"], truth(x)["latent_norm"], **NEAR)
    np.testing.assert_allclose(answer["log_prob"], truth(x)["log_prob"], **NEAR)
    assert answer["by"] == "latent_norm"
    first = api.post(url, json={"rows": x.tolist(), "by": "log_prob"}).json()
    assert first["by"] == "log_prob"
    assert "score" not in first
    plain = api.post(url, json={"rows": x.tolist()}).json()
    assert {"by", "score"}.isdisjoint(plain)
    assert plain["p_value"] == first["p_value"]
    for address in (str(api.base_url), f"grpc://{grpc_engine}"):
        with Client(address) as client:
            told = client.score("scored", x, by="latent_norm")
            same = client.score("scored", x)
        np.testing.assert_array_equal(told.score, answer["score"])
        np.testing.assert_allclose(told.log_prob, answer["log_prob"], rtol=1e-6)
        assert told.by == "latent_norm"
        assert "score" not in list(same)
        np.testing.assert_array_equal(same.p_value, first["p_value"])


def test_every_score_comes_of_one_request(api: httpx.Client, bundles: Path) -> None:
    x = rows_of()
    table = {"pressure": x[:, 0], "flow": x[:, 1], "count": x[:, 2], "site": x[:, 3]}
    url = "/v1/models/scored/scores"
    rows = [[None if np.isnan(v) else v for v in row] for row in x.tolist()]
    answer = api.post(url, json={"rows": rows}).json()
    calibrations = read_bundle(bundles / "scored" / "1").calibrations()
    finite = np.array([status == "ok" for status in answer["status"]])
    assert finite.sum() == ROWS - 2
    for name, values in truth(x[finite]).items():
        np.testing.assert_allclose(np.array(answer[name], float)[finite], values, **NEAR)
    for name in NAMED:
        scores = np.array(answer[name], float)
        assert np.isnan(scores[[9, 10]]).all()  # in JSON, infinity is null as well
        told = np.array(answer[f"{name}_p_value"], float)
        expected = calibrations[name].p_value(scores[finite].astype(np.float64))
        if name != "log_prob":  # of which JSON has the digits of a float32
            np.testing.assert_array_equal(told[finite], expected)
        assert told[10] == 1 / (CALIBRATION_ROWS + 1)
    text = api.post(url, content=csv_bytes(table), headers=CSV).text
    assert list(read_csv(text)) == [n + s for n in NAMED for s in ("", "_p_value")] + ["status"]
    with Client(str(api.base_url)) as client:
        by_client = client.scores("scored", x)
    np.testing.assert_array_equal(by_client.combined_p_value, told_of(answer, "combined_p_value"))
    lines = api.post(
        url, content=arrow_bytes(table), headers=ARROW | {"accept": "application/x-ndjson"}
    ).text.splitlines()
    assert len(lines) == ROWS + 2


def told_of(answer: dict[str, Any], name: str) -> Any:
    return np.array(answer[name], float)


def test_the_combined_score_is_fisher_s_of_the_reference_rows(
    api: httpx.Client, bundles: Path
) -> None:
    x = ordinary_rows(40, seed=8)
    known = read_bundle(bundles / "scored" / "1").scorer().reference
    assert known is not None
    answer = api.post("/v1/models/scored/scores", json={"rows": x.tolist()}).json()
    parts = {name: told_of(answer, name) for name in ("log_prob", "typicality", "latent_norm")}
    inside = np.all([parts[n] >= known.scores[n][0] for n in parts], axis=0)
    assert inside.sum() > 30
    expected = combined({n: values[inside] for n, values in parts.items()}, known.scores)
    np.testing.assert_allclose(told_of(answer, "combined")[inside], expected, atol=0.02)
    assert len(known.scores["log_prob"]) == REFERENCE_ROWS
    assert known.mean_log_prob == pytest.approx(reference_log_prob().mean())


@pytest.mark.parametrize("model", ["gauss", "stepped"])
def test_a_model_of_one_score_says_so(api: httpx.Client, model: str, grpc_engine: str) -> None:
    x = ordinary_rows(1)
    body = {"rows": x.tolist(), "by": "typicality"}
    answer = api.post(f"/v1/models/{model}/score", json=body)
    assert answer.status_code == 400
    told = f"expected 'by' to be one of the scores of {model} (log_prob), got 'typicality'"
    assert answer.json() == {"error": told, "kind": "invalid_input"}
    with Client(f"grpc://{grpc_engine}") as client, pytest.raises(InvalidInput) as refused:
        client.score(model, x, by="typicality")
    assert told in str(refused.value)


def test_by_log_prob_context_and_steps_are_as_without(api: httpx.Client) -> None:
    """The scores have a lane of their own, which takes both."""
    context = contexts(20)
    given = {"rows": rows_given(context).tolist(), "context": context.tolist()}
    stepped = {"rows": ordinary_rows(20).tolist(), "steps": DEFAULT_STEPS}
    for model, body in (("given", given), ("stepped", stepped)):
        url = f"/v1/models/{model}/score"
        plain, by = (api.post(url, json=body | more).json() for more in ({}, {"by": "log_prob"}))
        assert by.pop("by") == "log_prob"
        assert by == plain
    refused = api.post(
        "/v1/models/stepped/score", json=stepped | {"steps": OFFERED[0], "by": "log_prob"}
    )
    assert "at which the p-values of stepped are calibrated" in refused.json()["error"]


@pytest.mark.parametrize("by", ["", "log prob", 3, ["typicality"], True])
def test_what_is_no_score_is_refused(api: httpx.Client, by: object) -> None:
    body = {"rows": ordinary_rows(1).tolist(), "by": by}
    answer = api.post("/v1/models/scored/score", json=body)
    assert answer.status_code == 400
    listed = "log_prob, typicality, latent_norm, likelihood_ratio, combined"
    assert f"one of the scores of scored ({listed}), got" in answer.json()["error"]


def test_an_autoencoder_has_one_score(api: httpx.Client) -> None:
    answer = api.post("/v1/models/auto/score", json={"rows": [[0.0]], "by": "typicality"})
    assert "unknown field 'by'" in answer.json()["error"]
    with Client(str(api.base_url)) as client, pytest.raises(Unsupported, match="scores"):
        client.scores("auto", [[0.0] * 4])


@pytest.mark.parametrize("by", BESIDE)
@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
def test_false_alarms_of_every_score_are_no_more_than_one_calibration_explains(
    api: httpx.Client, alpha: float, by: str
) -> None:
    x = ordinary_rows(20_000, seed=77)
    body = {"rows": x.tolist(), "alpha": alpha, "by": by}
    share = np.mean(api.post("/v1/models/scored/score", json=body).json()["is_anomaly"])
    # The true rate of one calibration is beta(k, n + 1 - k), of which this is 5 deviations.
    rate = np.floor(alpha * (CALIBRATION_ROWS + 1)) / (CALIBRATION_ROWS + 1)
    variance = rate * (1 - rate) * (1 / (CALIBRATION_ROWS + 2) + 1 / len(x))
    assert share <= rate + 5 * np.sqrt(variance)
    assert share >= rate - 5 * np.sqrt(variance)
