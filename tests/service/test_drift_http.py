"""What feeds the sketch, and what is told of it over HTTP and in metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exported.origin import moment
from service.config import ServiceConfig
from service.core import Core
from service.drift.sketch import State
from service.http.app import App, build_app
from service.http.drift_schemas import DriftAnswer
from service.served_flow import ServedFlow
from tests.bundles import ordinary_rows, write_gaussian
from tests.latents import write_autoencoder, write_vae
from tests.linear_gaussian import rows as latent_rows
from tests.scored import write_scored
from tests.service.test_http import ask
from tests.variants import write_stepped
from tests.watched import write_watched


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_watched(tmp_path)
    write_gaussian(tmp_path)
    write_stepped(tmp_path)
    write_vae(tmp_path)
    write_autoencoder(tmp_path)
    return tmp_path


@pytest.fixture
def core(root: Path) -> Core:
    return started(root)


def started(root: Path, **settings: Any) -> Core:
    config = {"bundles": root, "provider": "cpu", "sessions": 1, "self_check_every": 1}
    core = Core(ServiceConfig.model_validate(config | settings))
    core.load()
    return core


def send(
    app: App, x: NDArray[np.float64], operation: str = "score", name: str = "watched", **more: Any
) -> None:
    body = {"rows": x.tolist()} | more
    assert ask(app, "POST", f"/v1/models/{name}/{operation}", json=body).status_code == 200


def told(app: App, name: str = "watched") -> dict[str, Any]:
    response = ask(app, "GET", f"/v1/models/{name}/drift")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert DriftAnswer.model_validate(answer).model_dump() == answer  # nothing but what it says
    return answer


def test_a_shift_is_told_with_what_has_moved(core: Core) -> None:
    app = build_app(core)
    send(app, ordinary_rows(1_000, seed=3))
    before = told(app)
    assert (before["model"], before["version"], before["rows"]) == ("watched", 1, 1_000)
    assert (before["alarm"], before["since"], before["alarms"]) == (False, None, 0)
    manifest = core.find("watched").model.manifest
    assert before["calibration"] == manifest.calibration.artifact.sha256
    assert before["calibration_rows"] == 999
    # The first latent is the first column, in deviations.
    send(app, ordinary_rows(1_000, seed=4) + np.array([1.0, 0.0, 0.0, 0.0]))
    after = told(app)
    assert after["alarm"]
    assert after["since"] is not None
    window = after["windows"][0]
    assert (window["rows"], window["alarm"]) == (1_000, True)
    assert window["corrected_p_value"] <= after["alarm_rate"]
    first = window["latents"][0]
    assert first["latent"] == "z0"
    assert first["mean"] - first["calibration_mean"] == pytest.approx(0.5, abs=0.1)
    assert first["mean_p_value"] <= after["alarm_p_value"]
    assert sum(window["score"]["shares"]) == pytest.approx(1.0)
    assert not after["windows"][2]["alarm"]  # that has not moved on yet
    assert told(app) == after


def test_what_callers_ask_about_is_seen_once_and_nothing_else(core: Core) -> None:
    """Not what is drawn, decoded or checked, nor at a number of steps that nothing is known of."""
    app, x = build_app(core), ordinary_rows(250)
    for count, operation in enumerate(("score", "log_prob", "encode"), start=1):
        send(app, x, operation)
        assert told(app)["rows"] == 250 * count
    inputs = {"name": "x", "shape": list(x.shape), "datatype": "FP64", "data": x.ravel().tolist()}
    answer = ask(app, "POST", "/v2/models/watched/infer", json={"inputs": [inputs]})
    assert answer.status_code == 200
    assert told(app)["rows"] == 1_000
    for operation, body in {
        "sample": {"n": 500},
        "decode": {"z": np.zeros((500, 3)).tolist()},
        "expectation": {"of": [{"mean": "flow"}], "samples": 500},
    }.items():
        path = f"/v1/models/watched/{operation}"
        assert ask(app, "POST", path, json=body).status_code == 200
    assert told(app)["rows"] == 1_000
    stepped = core.find("stepped").model.manifest
    assert stepped.steps is not None
    for steps in stepped.steps.numbers:
        send(app, x, "log_prob", "stepped", steps=steps)
    assert told(app, "stepped")["rows"] == 250


def test_rows_are_seen_whichever_score_decides_and_once_where_they_are_explained(
    tmp_path: Path,
) -> None:
    write_scored(tmp_path)
    app, x = build_app(started(tmp_path)), ordinary_rows(250)
    asked: list[dict[str, Any]] = [{"by": "combined"}, {"by": "typicality", "explain": True}]
    asked += [{"explain": "leave_one_out"}, {"explain": True, "nearest": True}]
    for count, more in enumerate(asked, start=1):
        send(app, x, "score", "scored", **more)
        assert told(app, "scored")["rows"] == 250 * count
    send(app, x, "scores", "scored")
    assert told(app, "scored")["rows"] == 250 * 5


def test_a_large_request_is_added_up_in_a_thread(core: Core) -> None:
    served = core.find("watched")
    assert isinstance(served, ServedFlow)
    assert served.drift is not None

    async def work() -> State | None:
        await served.score(ordinary_rows(20_100))
        for _ in range(200):
            await asyncio.sleep(0.01)
            state = await core.drift("watched", 1)
            if state is not None and state.rows == 20_000:
                break
        return state

    state = asyncio.run(work())
    assert state is not None
    assert state.rows == 20_000
    assert [window.scored for window in state.windows] == [1_000, 10_000, 0]


@pytest.mark.parametrize("name", ["gauss", "vae", "auto"])
def test_what_tells_of_no_latents_is_watched_by_its_scores(core: Core, name: str) -> None:
    app = build_app(core)
    make = ordinary_rows if name == "gauss" else latent_rows
    send(app, make(500), name=name)
    window = told(app, name)["windows"][0]
    assert (window["rows"], window["latents"], window["alarm"]) == (500, [], False)
    far = make(500) * np.where(np.arange(make(1).shape[1]) == 0, 1.5, 1.0)
    send(app, far, name=name)
    send(app, far, name=name)
    assert told(app, name)["windows"][0]["score"]["shift"] < -0.2
    assert told(app, name)["alarm"]


def test_a_version_that_is_swapped_begins_anew(root: Path) -> None:
    core = started(root, allow_loading=True)
    app = build_app(core)
    send(app, ordinary_rows(500))
    write_watched(root, "watched", 2)
    asyncio.run(core.versions.load("watched"))
    assert told(app)["version"] == 2
    assert told(app)["rows"] == 0
    # Of a load everything is read again, so that the version before begins anew as well.
    response = ask(app, "GET", "/v1/models/watched/versions/1/drift")
    assert (response.json()["version"], response.json()["rows"]) == (1, 0)
    send(app, ordinary_rows(250))
    assert told(app)["rows"] == 250


def test_metrics_are_of_the_latest_look(core: Core) -> None:
    app, began = build_app(core), time.time()
    send(app, ordinary_rows(1_000) + np.array([2.0, 0.0, 0.0, 0.0]))
    value, answer = core.metrics.registry.get_sample_value, told(app)
    labels = {"replica": "0", "model": "watched", "version": "1"}
    assert value("logdet_drift_alarm", labels) == 1
    assert value("logdet_drift_alarms_total", labels) == 1
    last = value("logdet_drift_last_row_timestamp_seconds", labels)
    assert last is not None
    assert answer["last"] == answer["replicas"][0]["last"] == moment(last)
    assert began <= last <= time.time()
    silent = labels | {"model": "gauss"}
    assert value("logdet_drift_last_row_timestamp_seconds", silent) is None
    assert told(app, "gauss")["last"] is None
    window, shown = labels | {"window": "1000"}, answer["windows"][0]
    assert value("logdet_drift_window_rows", window) == 1_000
    assert value("logdet_drift_corrected_p_value", window) == shown["corrected_p_value"]
    assert value("logdet_drift_score_shift", window) == shown["score"]["shift"]
    assert value("logdet_drift_window_rows", labels | {"window": "10000"}) is None
    assert value("logdet_drift_alarm", labels | {"model": "gauss"}) == 0


def test_every_replica_is_asked_about_the_version_that_answers(root: Path) -> None:
    cores = [started(root), started(root)]
    asked: list[tuple[str, int]] = []

    async def everyone(name: str, version: int) -> Sequence[State]:
        asked.append((name, version))
        states = [await core.drift(name, version) for core in cores]
        return [state for state in states if state is not None]

    app = build_app(cores[0], drift=everyone)
    send(app, ordinary_rows(250))
    send(build_app(cores[1]), ordinary_rows(500, seed=1))
    answer = told(app)
    assert asked == [("watched", 1)]
    assert (answer["rows"], answer["windows"][0]["rows"]) == (750, 750)
    assert [replica["rows"] for replica in answer["replicas"]] == [250, 500]


def test_refusals_are_one_sentence(root: Path, core: Core) -> None:
    app = build_app(core)
    assert ask(app, "GET", "/v1/models/nobody/drift").status_code == 404
    assert ask(app, "GET", "/v1/models/watched/versions/9/drift").status_code == 404
    posted = ask(app, "POST", "/v1/models/watched/drift", json={})
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    off = build_app(started(root, drift_alarm_rate=0))
    send(off, ordinary_rows(300))
    response = ask(off, "GET", "/v1/models/watched/drift")
    assert response.status_code == 400
    assert response.json() == {
        "error": "this service does not look for drift; LOGDET_DRIFT_ALARM_RATE sets the rate of "
        "false alarms at which it does",
        "kind": "unsupported",
    }
    assert "\nlogdet_drift" not in ask(off, "GET", "/metrics").text
