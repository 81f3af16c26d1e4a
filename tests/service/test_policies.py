"""Which version answers requests that name none: settings, files and requests."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind, ServiceError, StartError
from service.http.app import build_app
from service.policies import FILE
from service.policy import LATEST, Policy
from tests.bundles import write_gaussian
from tests.latents import write_vae
from tests.service.test_http import ask
from tests.service.test_versions import look, serving
from tests.variants import write_conditional

SERVE = "/v1/models/gauss/serve"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "bundles"
    for version in (1, 2, 3):
        write_gaussian(root, "gauss", version)
    return root


def started(root: Path, **settings: Any) -> Core:
    config = {"bundles": root, "provider": "cpu", "sessions": 1, "allow_loading": True}
    core = Core(ServiceConfig.model_validate(config | settings))
    core.load()
    return core


def say(root: Path, document: object, name: str = "gauss") -> None:
    (root / name / FILE).write_text(json.dumps(document))


def answering(core: Core) -> int:
    return core.find("gauss").model.manifest.version


def told(core: Core) -> dict[str, Any]:
    (entry,) = ask(build_app(core), "GET", "/v1/models").json()["models"]
    return {key: entry[key] for key in ("version", "policy", "challenger", "set_by", "problem")}


def serve(core: Core, version: int | None, challenger: int | None = None) -> None:
    asyncio.run(core.versions.serve("gauss", Policy(version, challenger)))


def unmet(core: Core) -> float | None:
    labels = {"replica": "0", "model": "gauss"}
    return core.metrics.registry.get_sample_value("logdet_serving_unmet", labels)


@pytest.mark.parametrize(
    ("text", "policy"),
    [("latest", LATEST), ("3", Policy(3)), ("3:4", Policy(3, 4)), ("4:3", Policy(4, 3))],
)
def test_a_policy_is_read_as_a_setting_and_as_a_document(text: str, policy: Policy) -> None:
    assert Policy.of_text(text) == policy
    assert Policy.of_document(policy.document()) == policy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected a version number or 'latest', got ''"),
        ("newest", "got 'newest'"),
        ("0", "got '0'"),
        ("-1", "got '-1'"),
        ("99999999999", "got '99999999999'"),
        ("3:", "expected a version number as challenger, got ''"),
        ("3:3", "expected a challenger other than version 3 itself"),
        ("latest:3", "beside 'latest'"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Policy.of_text(text)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([3], "expected an object with 'version'"),
        ({}, "expected an object with 'version'"),
        ({"version": "3"}, "expected a version number or 'latest', got '3'"),
        ({"version": True}, "got 'True'"),
        ({"version": 3.0}, "got '3.0'"),
        ({"version": 3, "challenge": 4}, "unknown field 'challenge'; known: version, challenger"),
    ],
)
def test_what_is_no_document_of_a_policy_is_refused(document: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Policy.of_document(document)


def test_settings_name_policies_and_wrong_ones_are_told() -> None:
    def parsed(value: object) -> dict[str, str]:
        return ServiceConfig.from_environ({}, serve=value).serve

    expected = {"shuttle": "3:4", "other": "latest"}
    environ = {"LOGDET_SERVE": "shuttle=3:4, other=latest"}
    assert ServiceConfig.from_environ(environ).serve == expected
    assert parsed(("shuttle=3:4", "other=latest")) == expected
    assert parsed({"shuttle": "3:4", "other": "latest"}) == expected  # as Ray passes them on
    assert parsed({"shuttle": 3}) == {"shuttle": "3"}  # as YAML reads them
    for value, why in (
        ("shuttle", "NAME=VERSION"),
        ("=3", "NAME=VERSION"),
        ("shuttle=x", "of 'shuttle': expected a version number"),
        ("shuttle=3,shuttle=4", "expected each name once, got 'shuttle' twice"),
        (3, "expected texts like NAME=3"),
    ):
        with pytest.raises(StartError, match=why) as refused:
            parsed(value)
        assert "LOGDET_SERVE" in str(refused.value)


def test_without_a_policy_the_newest_answers(root: Path) -> None:
    core = started(root)
    expected = {"version": 3, "policy": "latest", "challenger": None, "problem": None}
    assert told(core) == expected | {"set_by": "default"}


def test_a_pinned_version_answers_and_newer_ones_only_by_name(root: Path) -> None:
    core = started(root, serve="gauss=2")
    write_gaussian(root, "gauss", 4)
    look(core)
    assert answering(core) == 2
    assert core.find("gauss", 4).model.manifest.version == 4
    assert told(core)["policy"] == "pinned"
    assert told(core)["set_by"] == "setting"
    value = core.metrics.registry.get_sample_value
    labels = {"replica": "0", "model": "gauss", "role": "default"}
    assert value("logdet_serving_version", labels) == 2


def test_a_file_prevails_over_the_setting_and_its_end_brings_that_back(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say(root, {"version": 1})
    core = started(root, serve="gauss=2")
    assert (answering(core), told(core)["set_by"]) == (1, "file")
    assert "prevails over the setting" in caplog.text
    (root / "gauss" / FILE).unlink()
    look(core, 1)
    assert answering(core) == 1  # an editor may be about to put it back
    look(core, 1)
    assert (answering(core), told(core)["set_by"]) == (2, "setting")


def test_a_file_is_followed(root: Path) -> None:
    core = started(root)
    say(root, {"version": 1, "challenger": 3})
    look(core, 1)
    assert answering(core) == 3
    look(core, 1)
    assert told(core) == {
        "version": 1, "policy": "compare", "challenger": 3, "set_by": "file", "problem": None
    }  # fmt: skip
    say(root, {"version": "latest"})
    look(core)
    assert (answering(core), told(core)["set_by"]) == (3, "file")


@pytest.mark.parametrize(
    "text", ["", "{", "3", '{"version": 0}', "[" * 4000, " " * 5000, "\udcff"]
)
def test_a_bad_file_changes_nothing_and_says_so(
    root: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    say(root, {"version": 2})
    core = started(root)
    (root / "gauss" / FILE).write_bytes(text.encode(errors="surrogateescape"))
    look(core, 4)
    assert answering(core) == 2
    assert told(core)["problem"].startswith("serving.json is not taken: expected ")
    assert unmet(core) == 1
    assert caplog.text.count("serving.json is not taken") == 2  # by the reader and by the route
    with pytest.raises(StartError, match=r"gauss: serving\.json is not taken"):
        started(root)
    say(root, {"version": 1})
    look(core)
    assert (answering(core), told(core)["problem"], unmet(core)) == (1, None, 0)


@pytest.mark.parametrize("setting", ["gauss=4", "gauss=9:1", "nobody=1"])
def test_a_start_without_the_version_that_is_to_answer_is_refused(
    root: Path, setting: str
) -> None:
    write_gaussian(root, "gauss", 4, golden_offset=1.0)
    with pytest.raises(
        StartError, match=r"is to be answered by version \d \(set by the setting\)"
    ):
        started(root, serve=setting)
    name, _, text = setting.partition("=")
    if name == "gauss":
        say(root, Policy.of_text(text).document())
        with pytest.raises(StartError, match=r"\(set by the file\)"):
            started(root)


def test_a_version_that_is_not_there_yet_is_awaited_and_the_one_before_answers(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = started(root, serve="gauss=1")
    say(root, {"version": 5})
    look(core, 4)
    assert answering(core) == 1  # and not the newest
    problem = "version 5 is to answer and does not serve; version 1 answers"
    assert told(core)["problem"] == problem
    assert unmet(core) == 1
    assert caplog.text.count(problem) == 1
    write_gaussian(root, "gauss", 4)
    look(core)
    assert answering(core) == 1
    write_gaussian(root, "gauss", 5)
    look(core)
    assert (answering(core), told(core)["problem"], unmet(core)) == (5, None, 0)


def test_a_pinned_version_whose_folder_goes_away_goes_on_answering(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = started(root, serve="gauss=2")
    served = core.find("gauss")
    shutil.rmtree(root / "gauss" / "2")
    look(core, 4)
    assert core.find("gauss") is served
    assert serving(core) == {"gauss": [1, 2, 3]}
    assert caplog.text.count("gauss/2 is gone from disk and goes on") == 1
    with pytest.raises(ServiceError, match="gauss/2 is to answer and is gone") as refused:
        asyncio.run(core.versions.load("gauss"))
    assert refused.value.kind is ErrorKind.INVALID_INPUT
    assert core.find("gauss") is served
    serve(core, 1)
    look(core, 1)
    assert serving(core) == {"gauss": [1, 3]}


def test_a_pinned_version_overwritten_by_a_bad_one_goes_on_as_it_was(root: Path) -> None:
    core = started(root, serve="gauss=2")
    served = core.find("gauss")
    (root / "gauss" / "2" / "log_prob.onnx").write_bytes(b"no")
    look(core)
    assert core.find("gauss") is served


def test_a_name_that_comes_without_its_pinned_version_answers_by_number_alone(root: Path) -> None:
    core = started(root)
    write_gaussian(root, "late", 1)
    say(root, {"version": 2}, "late")
    look(core)
    with pytest.raises(ServiceError, match="late has no version 2, which is to answer") as refused:
        core.find("late")
    assert refused.value.kind is ErrorKind.NOT_FOUND
    assert core.find("late", 1).model.manifest.version == 1
    listed = ask(build_app(core), "GET", "/v1/models").json()["models"]
    assert [entry["name"] for entry in listed] == ["gauss"]
    write_gaussian(root, "late", 2)
    look(core)
    assert core.find("late").model.manifest.version == 2


def test_one_call_goes_back_and_a_restart_remembers_it(root: Path) -> None:
    core = started(root)
    response = ask(build_app(core), "POST", SERVE, json={"version": 2})
    assert response.status_code == 200
    assert (response.json()["version"], response.json()["set_by"]) == (2, "file")
    assert answering(core) == 2
    look(core, 3)
    assert answering(core) == 2
    assert answering(started(root)) == 2
    assert ask(build_app(core), "POST", SERVE, json={"version": "latest"}).json()["version"] == 3
    assert sorted(p.name for p in (root / "gauss").iterdir()) == ["1", "2", "3", FILE]


def test_a_call_holds_against_a_look_that_read_the_file_before(root: Path) -> None:
    say(root, {"version": 1})
    core = started(root)
    policies = core.versions._policies
    old = policies.read()
    serve(core, 2)
    assert not policies.follow(old)
    assert policies.of("gauss").policy == Policy(2)
    look(core, 3)
    assert answering(core) == 2


def test_a_folder_that_cannot_be_written_is_said_and_the_call_holds(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("service.place.tempfile.mkstemp", fail)
    core = started(root)
    serve(core, 2)
    look(core, 3)
    assert (answering(core), told(core)["set_by"]) == (2, "request")
    assert "serving.json is not written (Read-only file system)" in caplog.text
    say(root, {"version": 1})
    look(core)
    assert answering(core) == 1


@pytest.mark.parametrize("broken", ["os.replace", "os.fsync"])
def test_a_file_that_fails_half_way_leaves_the_one_before(
    root: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    say(root, {"version": 1})
    core = started(root)
    monkeypatch.setattr(f"service.place.{broken}", fail)
    serve(core, 2)
    assert json.loads((root / "gauss" / FILE).read_text()) == {"version": 1}
    assert sorted(p.name for p in (root / "gauss").iterdir()) == ["1", "2", "3", FILE]


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"version": 9}, 404, "gauss has no version 9; it has: 1, 2, 3"),
        ({"version": 1, "challenger": 9}, 404, "gauss has no version 9; it has: 1, 2, 3"),
        ({"version": "3"}, 400, "expected a version number or 'latest', got '3'"),
        ({"version": 1, "challenger": 1}, 400, "other than version 1 itself"),
        ({"version": 1, "now": True}, 400, "unknown field 'now'"),
        ({}, 400, "expected an object with 'version'"),
    ],
)
def test_a_call_that_is_refused_changes_nothing(
    root: Path, body: dict[str, Any], status: int, why: str
) -> None:
    core = started(root)
    catalogue = core.catalogue
    response = ask(build_app(core), "POST", SERVE, json=body)
    assert (response.status_code, why in response.json()["error"]) == (status, True)
    assert core.catalogue is catalogue
    assert not (root / "gauss" / FILE).exists()


def test_a_call_to_a_service_that_was_not_told_to_allow_it_is_refused(root: Path) -> None:
    core = started(root, allow_loading=False)
    response = ask(build_app(core), "POST", SERVE, json={"version": 1})
    assert (response.status_code, response.json()["kind"]) == (400, "unsupported")
    assert "--allow-loading" in response.json()["error"]
    assert answering(core) == 3


def test_a_policy_outlives_an_unload_and_a_load(root: Path) -> None:
    core = started(root, serve="gauss=2")
    write_gaussian(root, "other", 1)
    look(core)
    asyncio.run(core.versions.unload("gauss"))
    with pytest.raises(ServiceError, match="no model is named 'gauss'"):
        serve(core, 1)
    asyncio.run(core.versions.load("gauss"))
    assert answering(core) == 2


def test_challengers_that_do_not_fit_are_refused_with_a_reason(root: Path) -> None:
    write_conditional(root, "gauss", 4)
    write_vae(root, "gauss", 5)
    core = started(root)
    for challenger, why in (
        (4, r"to have the context_features of version 1 in that order \(0 of them\), got 3"),
        (5, "only flows are compared, not VAEs or autoencoders"),
    ):
        with pytest.raises(ServiceError, match=why) as refused:
            serve(core, 1, challenger)
        assert refused.value.kind is ErrorKind.INVALID_INPUT
    assert (answering(core), told(core)["challenger"]) == (5, None)


def test_a_challenger_that_is_lacking_at_the_start_does_not_stop_the_champion(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    core = started(root, serve="gauss=1:4")
    problem = "version 4 is to be compared and does not serve"
    assert (answering(core), told(core)["challenger"]) == (1, None)
    assert told(core)["problem"] == problem
    write_gaussian(root, "gauss", 4)
    look(core)
    assert (answering(core), told(core)["challenger"], told(core)["problem"]) == (1, 4, None)
    shutil.rmtree(root / "gauss" / "4")
    look(core)
    assert (answering(core), told(core)["challenger"]) == (1, None)
    assert caplog.text.count(problem) == 2
