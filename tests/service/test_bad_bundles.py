"""Bundles that are bad, half there or on their way never take the place of a good one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exported.errors import BundleInvalidError
from service import catalogue
from service.core import Core
from service.kinds import load
from service.stamps import stamps
from tests.bundles import MEAN, exact, ordinary_rows, write_gaussian
from tests.service.test_policies import answering, started
from tests.service.test_versions import look, serving

MOVED = MEAN + 1.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "bundles"
    write_gaussian(root, "gauss", 1)
    return root


@pytest.fixture
def core(root: Path) -> Core:
    return started(root)


def means(core: Core, version: int) -> bool:
    """Whether the version is the bundle of the moved mean."""
    x = ordinary_rows(4)
    got = core.catalogue.get("gauss", version).evaluate(x).log_prob  # type: ignore[union-attr]
    expected = exact(x, MOVED).log_prob
    return bool(np.allclose(got, expected, atol=1e-3))


def attempts(core: Core, result: str) -> float | None:
    labels = {"replica": "0", "result": result}
    return core.metrics.registry.get_sample_value("logdet_model_loads_total", labels)


def test_two_versions_that_appear_at_once_both_serve_and_the_newest_answers(
    core: Core, root: Path
) -> None:
    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "gauss", 3)
    look(core)
    assert serving(core) == {"gauss": [1, 2, 3]}
    assert answering(core) == 3


def test_of_two_versions_that_appear_at_once_the_bad_one_is_left_out(
    core: Core, root: Path
) -> None:
    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "gauss", 3, golden_offset=1.0)
    look(core)
    assert serving(core) == {"gauss": [1, 2]}
    assert answering(core) == 2


@pytest.mark.parametrize("edit", [{"version": 2}, {"name": "other"}, {"family": 3}])
def test_a_manifest_that_is_edited_in_place_leaves_what_serves(
    core: Core, root: Path, edit: dict[str, Any]
) -> None:
    served = core.find("gauss")
    path = root / "gauss" / "1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    look(core)
    assert core.find("gauss") is served
    assert ("gauss", 1) in core.catalogue.refused


def test_a_file_that_goes_away_leaves_what_serves(core: Core, root: Path) -> None:
    served = core.find("gauss")
    (root / "gauss" / "1" / "calibration.npz").unlink()
    look(core)
    assert core.find("gauss") is served


def test_a_folder_that_is_deleted_while_it_is_read_is_left_out(
    core: Core, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanishing(folder: Path, runtime: Any) -> Any:
        shutil.rmtree(folder)
        return load(folder, runtime)

    write_gaussian(root, "gauss", 2)
    monkeypatch.setattr(catalogue, "load", vanishing)
    look(core)
    assert serving(core) == {"gauss": [1]}
    monkeypatch.undo()
    look(core, 1)
    assert not core.catalogue.refused
    write_gaussian(root, "gauss", 2)
    look(core)
    assert serving(core) == {"gauss": [1, 2]}


def test_a_folder_that_is_replaced_while_it_is_read_is_read_again(
    core: Core, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(folder: Path, runtime: Any) -> Any:
        shutil.rmtree(folder)
        write_gaussian(root, "gauss", 2, mean=MOVED)
        raise BundleInvalidError("half of one, half of the other")

    write_gaussian(root, "gauss", 2)
    monkeypatch.setattr(catalogue, "load", replaced)
    look(core)
    monkeypatch.undo()
    look(core)
    assert means(core, 2)


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(5, "Input/output error")])
def test_what_cannot_be_read_holds_up_no_other_and_is_tried_again(
    core: Core, root: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def failing(folder: Path, runtime: Any) -> Any:
        if folder.name == "2":
            raise error
        return load(folder, runtime)

    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "later", 1)
    monkeypatch.setattr(catalogue, "load", failing)
    look(core)
    assert serving(core) == {"gauss": [1], "later": [1]}
    assert str(root) not in core.catalogue.refused["gauss", 2]
    monkeypatch.undo()
    look(core, 1)
    assert serving(core) == {"gauss": [1, 2], "later": [1]}


def test_an_error_that_nobody_thought_of_refuses_its_bundle_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(folder: Path, runtime: Any) -> Any:
        if folder.name == "2":
            raise ZeroDivisionError("what")
        return load(folder, runtime)

    write_gaussian(root, "gauss", 2)
    monkeypatch.setattr(catalogue, "load", failing)
    core = started(root)
    assert serving(core) == {"gauss": [1]}
    assert "ZeroDivisionError" in caplog.text
    look(core, 3)
    assert attempts(core, "refused") == 1


def test_a_version_behind_a_link_is_followed_when_the_link_leads_elsewhere(tmp_path: Path) -> None:
    """As git-sync and volumes of Kubernetes do: whole folders change in one step."""
    root, stores = tmp_path / "bundles", [tmp_path / "..1", tmp_path / "..2"]
    write_gaussian(stores[0], "gauss", 1)
    write_gaussian(stores[1], "gauss", 1, mean=MOVED)
    (root / "gauss").mkdir(parents=True)
    link(stores[0] / "gauss" / "1", root / "gauss" / "1")
    core = started(root)
    link(stores[1] / "gauss" / "1", root / "gauss" / "1")
    look(core, 1)
    assert not means(core, 1)
    look(core, 1)
    assert means(core, 1)


def test_files_of_equal_sizes_and_times_are_told_apart_by_where_a_link_leads(
    tmp_path: Path,
) -> None:
    """As archives have them."""
    for name, text in (("..1", "one"), ("..2", "two")):
        file = tmp_path / name / "manifest.json"
        file.parent.mkdir()
        file.write_text(text)
        os.utime(file, (0, 0))
    version = tmp_path / "bundles" / "gauss" / "1"
    version.parent.mkdir(parents=True)
    link(tmp_path / "..1", version)
    before = stamps(tmp_path / "bundles")
    assert before == stamps(tmp_path / "bundles")
    link(tmp_path / "..2", version)
    assert stamps(tmp_path / "bundles") != before


def test_a_root_behind_a_link_is_followed_when_the_link_leads_elsewhere(tmp_path: Path) -> None:
    stores = [tmp_path / "..1", tmp_path / "..2"]
    write_gaussian(stores[0], "gauss", 1)
    write_gaussian(stores[1], "gauss", 2, mean=MOVED)
    link(stores[0], tmp_path / "data")
    core = started(tmp_path / "data")
    link(stores[1], tmp_path / "data")
    look(core)
    assert serving(core) == {"gauss": [2]}
    assert means(core, 2)


def test_a_link_to_a_bad_bundle_leaves_what_serves(root: Path, tmp_path: Path) -> None:
    core = started(root)
    served = core.find("gauss")
    bad = write_gaussian(tmp_path / "elsewhere", "gauss", 1, golden_offset=1.0)
    shutil.rmtree(root / "gauss" / "1")
    link(bad, root / "gauss" / "1")
    look(core)
    assert core.find("gauss") is served


def test_files_that_are_links_are_refused(root: Path, tmp_path: Path) -> None:
    """They could lead to any file of the machine, so a ConfigMap's own layout is none of ours."""
    core = started(root)
    folder = write_gaussian(root, "gauss", 2)
    store = tmp_path / "..data"
    folder.rename(store)
    folder.mkdir()
    for file in store.iterdir():
        (folder / file.name).symlink_to(file)
    look(core)
    assert serving(core) == {"gauss": [1]}
    assert ("gauss", 2) in core.catalogue.refused


def link(target: Path, path: Path) -> None:
    """Make a link lead to a target, in one step."""
    draft = path.with_name(".link")
    draft.symlink_to(target)
    os.replace(draft, path)
