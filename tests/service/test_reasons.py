"""Reasons of scores: what features contribute, and what would be normal."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service import explainer
from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.http.app import build_app
from service.http.tables.ndjson import _pieces
from service.model import Model
from service.nearest import HALVINGS, RUNS, Nearest, nearest
from service.operations.call import Answer, Call
from service.operations.kinds import operation_of
from service.reasons import Rows
from service.results import OK
from service.runtime import Runtime
from service.ways import Steps, runs_of
from tests.bundles import NAMES, exact, ordinary_rows, write_gaussian
from tests.tables import ARROW, arrow_bytes
from tests.variants import exact_terms, write_ordered

X = NDArray[np.float64]
MEDIAN = np.array([10.0, -3.0, 40.0])
MANY = 300


def ask(core: Core, model: str, x: X, **settings: Any) -> Answer:
    async def asked() -> Answer:
        served = core.find(model, None, "score")
        return await operation_of(served, "score").ask(served, Call(x, None, settings))

    return asyncio.run(asked())


def refused(core: Core, model: str, x: X, **settings: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        ask(core, model, x, **settings)
    return caught.value


def run(model: Model, steps: Steps[Any]) -> tuple[Any, int]:
    """What steps end with, and how many rows they run."""
    rows = 0
    try:
        asked = next(steps)
        while True:
            rows += asked.rows
            asked = steps.send(runs_of(model)[asked.way](asked.take(0, asked.rows)))
    except StopIteration as end:
        return end.value, rows


def strange(rows: int, seed: int = 6) -> X:
    """Ordinary rows, the last tenth of them far off in a feature or two."""
    x = ordinary_rows(rows, seed)
    tenth = rows // 10
    x[-tenth:, 0] += np.linspace(8.0, 80.0, tenth)
    x[-tenth::2, 2] += 50.0
    return x


def test_leaving_one_out_is_the_difference_of_two_log_probs_bit_for_bit(
    core: Core, model: Model
) -> None:
    x = strange(MANY)
    answer = ask(core, "gauss", x, explain=True)
    assert answer.told["method"] == "leave_one_out"
    assert "baseline" not in answer.told
    for feature in range(3):
        without = x.copy()
        without[:, feature] = MEDIAN[feature]
        expected = model.evaluate(x).log_prob - model.evaluate(without).log_prob
        np.testing.assert_array_equal(answer.columns["contribution"][:, feature], expected)
    assert (answer.columns["contribution"][:, 3] == 0.0).all()
    alone = answer.columns["contribution"][-29::2]  # strange in pressure alone
    assert (alone[:, 0] < -3.0).all()


def test_many_rows_get_what_a_few_get(core: Core) -> None:
    x = strange(5000)
    whole = ask(core, "gauss", x, explain=True, nearest=True).columns
    part = ask(core, "gauss", x[-600:], explain=True, nearest=True).columns
    for name in ("contribution", "nearest", "log_prob_nearest", "change"):
        np.testing.assert_array_equal(whole[name][-600:], part[name])


def test_leaving_one_out_is_what_the_formula_says(core: Core) -> None:
    x = strange(50)
    got = ask(core, "gauss", x, explain="leave_one_out").columns["contribution"]
    for feature in range(3):
        without = x.copy()
        without[:, feature] = MEDIAN[feature]
        expected = exact(x).log_prob - exact(without).log_prob
        np.testing.assert_allclose(got[:, feature], expected, rtol=1e-4, atol=1e-3)


def test_conditional_terms_and_what_is_usual_sum_to_log_prob(core: Core) -> None:
    x = strange(MANY)
    answer = ask(core, "ordered", x, explain=True)
    assert answer.told["method"] == "conditional"
    baseline, contribution = answer.told["baseline"], answer.columns["contribution"]
    total = baseline + contribution.sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(total, answer.columns["log_prob"], rtol=1e-5, atol=1e-4)
    usual = np.median(exact_terms(ordinary_rows(16, seed=5)), axis=0)  # of the golden rows
    np.testing.assert_allclose(contribution, exact_terms(x) - usual, rtol=1e-4, atol=1e-3)
    assert baseline == pytest.approx(usual.sum())


def test_another_method_may_be_asked_for(core: Core) -> None:
    x = strange(20)
    one, other = (ask(core, name, x, explain="leave_one_out") for name in ("ordered", "gauss"))
    np.testing.assert_array_equal(one.columns["contribution"], other.columns["contribution"])


@pytest.mark.parametrize("name", ["gauss", "ordered"])
def test_rows_without_a_log_prob_are_told_why_or_nothing(core: Core, name: str) -> None:
    x = ordinary_rows(5)
    x[0, 2], x[1, 3], x[2, 0] = 0.5, 7.2, np.nan
    x[3, 2], x[3, 3] = 201.0, 0.0
    got = ask(core, name, x, explain=True).columns["contribution"]
    lost = -np.inf
    np.testing.assert_array_equal(
        got[[0, 1, 3]], [[0, 0, lost, 0], [0, 0, 0, lost], [0, 0, lost, lost]]
    )
    assert np.isnan(got[2]).all()
    assert np.isfinite(got[4]).all()


def test_nothing_is_told_that_nobody_asked_for(core: Core) -> None:
    x = ordinary_rows(3)
    plain = ask(core, "gauss", x)
    for value in (None, False, "false"):
        answer = ask(core, "gauss", x, explain=value, nearest=value)
        assert list(answer.columns) == list(plain.columns)
        assert answer.told == plain.told


def test_no_rows_have_no_reasons(core: Core) -> None:
    answer = ask(core, "gauss", np.empty((0, 4)), explain=True, nearest=True)
    assert answer.columns["contribution"].shape == answer.columns["nearest"].shape == (0, 4)


def test_work_is_bounded_with_the_number_that_fits(root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", limit_rows=90))
    core.load()
    assert len(ask(core, "gauss", ordinary_rows(30), explain=True).status) == 30
    error = refused(core, "gauss", ordinary_rows(31), explain=True)
    assert error.kind is ErrorKind.TOO_LARGE
    assert "at most 30 rows" in error.message
    assert "got 31" in error.message
    # The terms are of one run, however many features there are.
    assert len(ask(core, "ordered", ordinary_rows(90), explain=True).status) == 90


def test_anomalies_are_bounded_once_they_are_known(root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", limit_rows=10 * RUNS))
    core.load()
    x = np.vstack([ordinary_rows(60), ordinary_rows(11) + np.array([90.0, 0, 0, 0])])
    assert len(ask(core, "gauss", x[:70], nearest=True, alpha=0.001).status) == 70
    error = refused(core, "gauss", x, nearest=True, alpha=0.001)
    assert error.kind is ErrorKind.TOO_LARGE
    assert error.message == (
        "expected at most 10 anomalies a request with 'nearest', which decodes every one 9 times, "
        "got 11 of gauss; for more, use the command 'logdet score gauss FILE -o OUT --nearest' or "
        "several requests"
    )


def test_only_what_is_asked_for_makes_a_request_long_or_cuts_it(core: Core) -> None:
    score = operation_of(core.find("gauss", None, "score"), "score")
    rows = np.zeros((5000, 4))
    for settings, is_long, size in (
        ({"explain": "false", "nearest": "false"}, False, 4096),
        ({"by": "log_prob"}, False, 4096),
        ({"explain": "true"}, True, 1024),
        ({"explain": "gradient"}, True, 1024),
        ({"nearest": "true"}, True, 4096 // RUNS),
        ({"nearest": True, "explain": True}, True, 4096 // RUNS),
    ):
        assert score.takes_long(settings) is is_long
        pieces = [len(part.given()) for part in _pieces(score, Call(rows, None, settings))]
        assert (pieces[0], sum(pieces)) == (size, 5000), settings


@pytest.mark.parametrize(("rows", "is_elsewhere"), [(30, False), (1400, True)])
def test_steps_of_many_numbers_leave_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, is_elsewhere: bool
) -> None:
    """However few rows these are."""
    write_gaussian(tmp_path)
    core = Core(ServiceConfig(bundles=tmp_path, provider="cpu"))
    core.load()
    served, threads = core.find("gauss", None, "score"), set[int]()
    for name in ("_rows", "_next"):
        made = getattr(explainer, name)

        def seen(*given: Any, made: Any = made) -> Any:
            threads.add(threading.get_ident())
            return made(*given)

        monkeypatch.setattr(explainer, name, seen)
    served.explainer._width = 12  # type: ignore[union-attr]
    settings = {"explain": True, "nearest": True}
    asyncio.run(operation_of(served, "score").ask(served, Call(strange(rows), None, settings)))
    assert threads
    assert (threading.get_ident() not in threads) is is_elsewhere


def test_lines_are_made_of_pieces_that_fit(root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", limit_rows=4100))
    core.load()
    x = strange(3000)
    headers = ARROW | {"accept": "application/x-ndjson"}

    async def asked() -> str:
        transport = httpx.ASGITransport(build_app(core))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as api:
            content = arrow_bytes(dict(zip(NAMES, x.T, strict=True)))
            url = "/v1/models/gauss/score?explain=true"
            return (await api.post(url, content=content, headers=headers)).text

    told, *rows, end = map(json.loads, asyncio.run(asked()).splitlines())
    assert told["method"] == "leave_one_out"
    assert end == {"rows": 3000}
    assert refused(core, "gauss", x, explain=True).kind is ErrorKind.TOO_LARGE
    whole = ask(core, "gauss", x[-1000:], explain=True).columns["contribution"][:, 0]
    got = [row["contribution_pressure"] for row in rows[-1000:]]
    np.testing.assert_allclose(got, whole, rtol=1e-6)


def test_no_run_is_longer_than_others_are(core: Core) -> None:
    x = strange(MANY)
    ask(core, "gauss", x, explain=True)
    labels = {"replica": "0", "model": "gauss", "version": "1", "method": "explain"}
    runs = core.metrics.registry.get_sample_value("logdet_executions_total", labels)
    varied = int((x[:, :3] != MEDIAN).sum())  # what is at its median is not run again
    assert runs == np.ceil(varied / 64)  # the rows of a run of this service


@pytest.mark.parametrize("name", ["vae", "auto"])
def test_only_flows_have_reasons(core: Core, name: str) -> None:
    served = core.find(name, None, "score")
    assert "explain" not in operation_of(served, "score").settings


def test_a_model_without_decode_has_no_nearest_rows(tmp_path: Path) -> None:
    write_gaussian(tmp_path, "scorer", operations=("log_prob", "score"))
    core = Core(ServiceConfig(bundles=tmp_path, provider="cpu"))
    core.load()
    error = refused(core, "scorer", ordinary_rows(1), nearest=True)
    assert error.kind is ErrorKind.UNSUPPORTED
    assert "'decode'" in error.message


def test_the_nearest_row_is_scored_as_normal_when_it_is_sent_back(core: Core) -> None:
    x = strange(MANY)
    answer = ask(core, "gauss", x, nearest=True, alpha=0.05)
    anomalies = answer.columns["is_anomaly"].filled(fill_value=False)
    assert anomalies.sum() >= 30
    near = answer.columns["nearest"]
    assert np.isnan(near[~anomalies]).all()
    again = ask(core, "gauss", near[anomalies], alpha=0.05)
    assert not again.columns["is_anomaly"].any()
    told = answer.columns["log_prob_nearest"][anomalies]
    np.testing.assert_allclose(again.columns["log_prob"], told, atol=1e-5)
    threshold = answer.told["threshold"]
    assert (told >= threshold).all()
    assert (told < threshold + 0.5).all()  # and no more normal than needed
    assert (near[anomalies, 2] == np.floor(near[anomalies, 2])).all()


def test_an_impossible_value_is_moved_before_anything_else(core: Core) -> None:
    x = ordinary_rows(2)
    x[0, 3], x[1, 2] = 7.2, 40.4
    answer = ask(core, "gauss", x, nearest=True)
    moved = x.copy()
    moved[0, 3], moved[1, 2] = 7.1, 40.0
    np.testing.assert_array_equal(answer.columns["nearest"], moved)


def test_where_not_even_the_centre_is_normal_there_is_none(model: Model) -> None:
    x = strange(20)
    out = model.evaluate(x)
    rows = Rows(x, None, out.log_prob, out.z, out.status)
    found, count = run(model, nearest(model, rows, 100.0, np.ones(20, bool)))
    assert isinstance(found, Nearest)
    assert np.isnan(found.x).all()
    assert np.isnan(found.log_prob).all()
    assert count == 20 * (1 + HALVINGS)


def test_the_change_is_in_deviations_where_the_manifest_has_them(tmp_path: Path) -> None:
    model = Model.load(write_ordered(tmp_path), Runtime.choose("cpu", 1))
    feature = model.manifest.features[0].model_copy(update={"deviation": 2.0})
    manifest = model.manifest.model_copy(
        update={"features": (feature, *model.manifest.features[1:])}
    )
    x = strange(20)[-2:]
    out = model.evaluate(x)
    assert (out.status == OK).all()
    rows = Rows(x, None, out.log_prob, out.z, out.status)
    described = replace(model, manifest=manifest)
    found, _ = run(described, nearest(described, rows, -11.0, np.ones(2, bool)))
    np.testing.assert_allclose(found.change[:, 0], (found.x[:, 0] - x[:, 0]) / 2.0, rtol=1e-5)
    assert np.isnan(found.change[:, 1]).all()  # no deviation is told
    assert (found.change[:, 3] == 0.0).all()
