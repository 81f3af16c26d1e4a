"""The lock files of the images follow ``pyproject.toml`` and ``constraints.txt``, with hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy import sizes

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "locks"
EXTRAS = {
    "service-cpu": {"ray", "tracing"},
    "service-cuda": {"ray", "tracing", "cuda"},
    "train-cpu": {"train"},
    "train-cuda": {"train"},
}
# What only a machine with a GPU needs: held by the lock file alone.
OF_A_GPU = re.compile(r"nvidia-.+|cuda-.+|triton")


def named(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """Versions by name, without a local part (``+cpu``)."""
    found = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(), re.MULTILINE)
    return {named(name): version for name, version in found}


def test_the_bill_of_materials_is_that_of_the_image(sbom: Any) -> None:
    assert {"", *EXTRAS["service-cpu"]} == sbom.EXTRAS


@pytest.mark.parametrize("name", EXTRAS)
def test_every_version_is_the_one_that_the_tests_run_with(name: str) -> None:
    constraints = pins(ROOT / "constraints.txt")
    # The same program in the images without a GPU, of the same version.
    constraints["onnxruntime"] = constraints["onnxruntime-gpu"]
    constraints["setuptools"] = pins(LOCKS / "build.txt")["setuptools"]
    for package, version in pins(LOCKS / f"{name}.txt").items():
        if name.endswith("cuda") and OF_A_GPU.fullmatch(package):
            continue
        assert constraints[package] == version, package


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_has_what_the_project_needs_and_nothing_else(name: str, sbom: Any) -> None:
    locked = pins(LOCKS / f"{name}.txt").keys()
    needed = {named(one) for one in sbom.needed("logdet", {"", *EXTRAS[name]}, set())} - {"logdet"}
    if name.endswith("cpu"):
        needed = needed - {"onnxruntime-gpu"} | {"onnxruntime"}
    needed = {one for one in needed if not OF_A_GPU.fullmatch(one)}
    assert {one for one in locked if not OF_A_GPU.fullmatch(one)} == needed


@pytest.mark.parametrize("name", EXTRAS)
def test_libraries_of_cuda_are_where_a_gpu_is(name: str) -> None:
    libraries = [one for one in pins(LOCKS / f"{name}.txt") if OF_A_GPU.fullmatch(one)]
    assert bool(libraries) == name.endswith("cuda")


@pytest.mark.parametrize("name", ["service-cpu", "service-cuda"])
def test_a_service_has_neither_torch_nor_onnx(name: str) -> None:
    assert not {"torch", "onnx", "onnxscript", "scikit-learn"} & pins(LOCKS / f"{name}.txt").keys()


@pytest.mark.parametrize("name", ["build", *EXTRAS])
def test_every_package_has_hashes_and_no_file_says_where_they_are_from(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=[a-z])", text)[1:]
    assert len(entries) == len(pins(LOCKS / f"{name}.txt")) > 0
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_the_project_is_built_with_the_setuptools_that_it_names() -> None:
    (wanted,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert wanted == "setuptools=={setuptools}".format(**pins(LOCKS / "build.txt"))


def test_make_lock_writes_these_files() -> None:
    makefile = (ROOT / "Makefile").read_text()
    written = set(re.findall(r"-o deploy/locks/([\w-]+)\.txt", makefile))
    assert written == {"build", *EXTRAS} == {path.stem for path in LOCKS.glob("*.txt")}


def test_the_table_of_sizes_is_of_these_files() -> None:
    table = (ROOT / "docs" / "tables" / "images.md").read_text()
    assert table.startswith(sizes.HEADER)
    told = dict(re.findall(r"^\| `([\w-]+)` \| (\d+) \|", table, re.MULTILINE))
    assert {name: int(count) for name, count in told.items()} == {
        name: len(pins(LOCKS / f"{name}.txt")) for name in EXTRAS
    }
