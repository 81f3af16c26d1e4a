"""Bundles that appear, change and go while the service runs."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.config import ServiceConfig
from service.core import Core
from tests.bundles import exact, ordinary_rows, write_gaussian
from tests.engines import embedded


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "bundles"
    write_gaussian(root, "gauss", 1)
    return root


@pytest.fixture
def core(root: Path) -> Core:
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1))
    core.load()
    return core


def look(core: Core, times: int = 2) -> None:
    """A bundle is read once it has been alike at two looks."""

    async def work() -> None:
        for _ in range(times):
            await core.versions.look()

    asyncio.run(work())


def serving(core: Core) -> dict[str, list[int]]:
    return {name: list(versions) for name, versions in core.catalogue.models.items()}


def test_a_new_version_takes_the_place_of_the_newest_and_the_old_stays(
    core: Core, root: Path
) -> None:
    first = core.find("gauss")
    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "other", 1)
    look(core, 1)
    assert serving(core) == {"gauss": [1]}  # it may still be on its way
    look(core, 1)
    assert serving(core) == {"gauss": [1, 2], "other": [1]}
    assert core.find("gauss").model.manifest.version == 2
    assert core.find("gauss", 1) is first


def test_a_bundle_that_is_still_being_copied_is_left_alone_and_then_taken(
    core: Core, root: Path
) -> None:
    whole = write_gaussian(root.parent / "elsewhere", "gauss", 2)
    part = root / "gauss" / "2"
    part.mkdir()
    for file in sorted(whole.iterdir()):
        shutil.copy(file, part)
        look(core, 1)
    assert serving(core) == {"gauss": [1]}
    look(core)
    assert serving(core) == {"gauss": [1, 2]}


def test_a_bad_bundle_displaces_nothing_and_is_tried_again_when_it_has_changed(
    core: Core, root: Path
) -> None:
    folder = write_gaussian(root, "gauss", 2)
    graph = folder / "log_prob.onnx"
    good = graph.read_bytes()
    graph.write_bytes(good[:-1] + b"x")
    look(core)
    assert serving(core) == {"gauss": [1]}
    assert ("gauss", 2) in core.catalogue.refused
    attempts = core.metrics.registry.get_sample_value
    refused = {"replica": "0", "result": "refused"}
    assert attempts("logdet_model_loads_total", refused) == 1
    look(core, 3)
    assert attempts("logdet_model_loads_total", refused) == 1
    graph.write_bytes(good)
    look(core)
    assert serving(core) == {"gauss": [1, 2]}
    assert not core.catalogue.refused


def test_a_version_that_goes_bad_in_place_goes_on_as_it_was(core: Core, root: Path) -> None:
    served = core.find("gauss")
    (root / "gauss" / "1" / "manifest.json").write_text("{")
    look(core)
    assert core.find("gauss") is served
    assert ("gauss", 1) in core.catalogue.refused


def test_going_back_is_taking_the_new_folder_away(core: Core, root: Path) -> None:
    write_gaussian(root, "gauss", 2)
    look(core)
    shutil.rmtree(root / "gauss" / "2")
    look(core, 1)
    assert serving(core) == {"gauss": [1]}
    assert core.find("gauss").model.manifest.version == 1


def test_a_folder_without_bundles_is_taken_for_a_disk_that_is_away(core: Core, root: Path) -> None:
    shutil.rmtree(root)
    look(core)
    assert serving(core) == {"gauss": [1]}


def test_what_a_request_has_unloaded_stays_so_until_it_is_loaded(core: Core, root: Path) -> None:
    write_gaussian(root, "other", 1)
    look(core)
    asyncio.run(core.versions.unload("gauss"))
    write_gaussian(root, "gauss", 2)
    look(core)
    assert serving(core) == {"other": [1]}
    asyncio.run(core.versions.load("gauss"))
    look(core)
    assert serving(core) == {"gauss": [1, 2], "other": [1]}


def test_a_look_that_fails_is_not_the_last(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    async def look() -> None:
        looks.append(None)
        raise PermissionError("no")

    monkeypatch.setattr(core.versions, "look", look)

    async def work() -> None:
        following = asyncio.ensure_future(core.versions.follow(0.001))
        await asyncio.sleep(0.1)
        following.cancel()

    asyncio.run(work())
    assert len(looks) > 1


def test_a_running_service_serves_what_appears_without_a_failed_request(root: Path) -> None:
    x = ordinary_rows(4)
    with embedded(root, {"LOGDET_FOLLOW_S": "0.1", "LOGDET_GRPC": "false"}) as running:
        write_gaussian(root, "gauss", 2)
        seen = set()
        for _ in range(600):
            body = {"rows": x.tolist()}
            answer = httpx.post(f"{running.url}/v1/models/gauss/log_prob", json=body)
            assert answer.status_code == 200
            np.testing.assert_allclose(answer.json()["log_prob"], exact(x).log_prob, atol=1e-4)
            seen.add(answer.json()["version"])
            if 2 in seen:
                break
    assert seen == {1, 2}
