"""Models that are loaded and unloaded by requests while the service runs."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.http.app import build_app
from tests.bundles import ordinary_rows, write_gaussian
from tests.service.test_http import ask


@pytest.fixture
def core(tmp_path: Path) -> Core:
    for version in (1, 2):
        write_gaussian(tmp_path, "gauss", version)
    write_gaussian(tmp_path, "other", 1)
    core = Core(ServiceConfig(bundles=tmp_path, provider="cpu", sessions=1))
    core.load()
    return core


def score(core: Core) -> None:
    async def work() -> None:
        await core.find("gauss").score(ordinary_rows(3))

    asyncio.run(work())


def ready(core: Core, version: str) -> float | None:
    labels = {"replica": "0", "model": "gauss", "version": version}
    return core.metrics.registry.get_sample_value("logdet_model_ready", labels)


def infos(core: Core) -> list[str]:
    page = core.metrics.snapshot().splitlines()
    return [line for line in page if line.startswith("logdet_model_info") and '"gauss"' in line]


def test_a_count_of_scores_does_not_fall_when_a_model_is_loaded_again(core: Core) -> None:
    def count() -> float | None:
        labels = {"replica": "0", "model": "gauss", "version": "2"}
        return core.metrics.registry.get_sample_value("logdet_log_prob_count", labels)

    score(core)
    before = count()
    asyncio.run(core.versions.load("gauss"))
    assert count() == before == 3


def test_a_version_that_is_gone_is_not_ready(core: Core) -> None:
    shutil.rmtree(core.config.bundles / "gauss" / "1")
    asyncio.run(core.versions.load("gauss"))
    assert list(core.catalogue.models["gauss"]) == [2]
    assert (ready(core, "1"), ready(core, "2")) == (0.0, 1.0)
    assert len(infos(core)) == 1


def test_others_are_not_touched_by_a_load(core: Core) -> None:
    before = core.find("other")
    asyncio.run(core.versions.load("gauss"))
    assert core.find("other") is before


def test_a_model_that_is_refused_leaves_what_serves(core: Core) -> None:
    served = core.find("gauss")
    (core.config.bundles / "gauss" / "3").mkdir()
    with pytest.raises(ServiceError, match="nothing was changed") as refused:
        asyncio.run(core.versions.load("gauss"))
    assert refused.value.kind is ErrorKind.INVALID_INPUT
    assert core.find("gauss") is served
    assert ready(core, "2") == 1.0
    why = core.catalogue.refused["gauss", 3]
    assert str(core.config.bundles) not in why


def test_requests_that_have_begun_are_finished_after_an_unload(core: Core) -> None:
    served = core.find("gauss")

    async def work() -> np.ndarray:
        waiting = asyncio.ensure_future(served.log_prob(ordinary_rows(5)))
        await core.versions.unload("gauss")
        return (await waiting).log_prob

    assert np.isfinite(asyncio.run(work())).all()
    with pytest.raises(ServiceError, match="no model is named 'gauss'"):
        core.find("gauss")
    assert ready(core, "2") == 0.0
    assert infos(core) == []


def test_the_document_tells_of_the_models_that_serve_now(core: Core) -> None:
    app = build_app(core)

    def example() -> str:
        path = ask(app, "GET", "/openapi.json").json()["paths"]["/v1/models/{model}/score"]
        return path["post"]["parameters"][0]["schema"]["example"]

    assert example() == "gauss"
    asyncio.run(core.versions.unload("gauss"))
    assert example() == "other"
