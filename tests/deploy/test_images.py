"""The Dockerfile and what is sent to be built agree with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

from service.config import ServiceConfig
from tests.deploy.replay.build import DOCKERFILE, in_context
from tests.deploy.replay.dockerfile import Stage, exec_form, needed, put_in, stages

ROOT = Path(__file__).parents[2]
PORT = ServiceConfig.model_fields["port"].default
VARIANTS = ("cpu", "cuda")


@pytest.fixture(scope="module", params=VARIANTS)
def built(request: pytest.FixtureRequest) -> dict[str, Stage]:
    return stages(DOCKERFILE, {"VARIANT": request.param})


def told(found: dict[str, Stage], target: str, word: str) -> list[str]:
    """What the stages that a target is made of say after a word."""
    return [
        rest
        for stage in needed(found, target)
        for name, rest in stage.instructions
        if name == word
    ]


def sources(found: dict[str, Stage], target: str) -> set[str]:
    """What a target copies from the project."""
    copies = [rest for rest in told(found, target, "COPY") if not rest.startswith("--from")]
    return {source for rest in copies for source in rest.split()[:-1]}


@pytest.mark.parametrize("target", ["service", "train"])
def test_what_an_image_copies_exists_and_is_sent(built: dict[str, Stage], target: str) -> None:
    copied = sources(built, target)
    assert {"service", "exported", "pyproject.toml"} <= copied
    for source in copied:
        path = ROOT / source
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        assert any(in_context(file) for file in files), source


def test_only_one_image_has_the_trainer(built: dict[str, Stage]) -> None:
    assert "training" not in sources(built, "service")
    assert "training" in sources(built, "train")


def test_packages_are_installed_from_a_lock_with_hashes_alone(built: dict[str, Stage]) -> None:
    for target in ("service", "train"):
        installs = re.findall(r"pip install[^;]*", "; ".join(told(built, target, "RUN")))
        assert len(installs) == 3
        for install in installs:
            assert "--require-hashes" in install or "--no-index --no-deps /wheels" in install


def test_no_variant_but_those_with_a_lock_can_be_built() -> None:
    for target in ("service", "train"):
        found = stages(DOCKERFILE, {"VARIANT": "tpu"})
        lock = f"deploy/locks/{target}-tpu.txt"
        assert lock in sources(found, target)
        assert not (ROOT / lock).exists()


def test_the_default_variant_has_no_gpu() -> None:
    assert "deploy/locks/service-cpu.txt" in sources(stages(DOCKERFILE, {}), "service")


@pytest.mark.parametrize("target", ["service", "train"])
def test_an_image_runs_as_a_user_who_is_a_number(built: dict[str, Stage], target: str) -> None:
    (user,) = told(built, target, "USER")
    (added,) = re.findall(r"useradd --uid (\d+)", " ".join(told(built, target, "RUN")))
    assert user == added
    assert int(user) > 9999


def test_the_service_listens_where_the_image_says(built: dict[str, Stage]) -> None:
    (ports,) = told(built, "service", "EXPOSE")
    assert ports.split() == [str(PORT), str(PORT + 1)]
    words = exec_form(built["service"].instructions[-1][1])
    assert words[:3] == ["logdet", "serve", "--ray"]
    assert words[words.index("--port") + 1] == str(PORT)
    (health,) = told(built, "service", "HEALTHCHECK")
    assert f"http://127.0.0.1:{PORT}/healthz" in exec_form(health)[-1]


def test_the_base_is_named_once_so_that_a_digest_can_be_put_in(built: dict[str, Stage]) -> None:
    pinned = f"docker.io/library/python:3.11-slim-bookworm@sha256:{'0' * 64}"
    found = stages(DOCKERFILE, {"PYTHON": pinned})
    outside = {stage.source for stage in found.values()} - found.keys()
    assert outside == {pinned}
    assert len({stage.source for stage in built.values()} - built.keys()) == 1


def test_the_script_that_stands_for_haproxy_is_in_the_package(built: dict[str, Stage]) -> None:
    environ = " ".join(told(built, "service", "ENV"))
    named = re.search(r"RAY_SERVE_HAPROXY_BINARY_PATH=\S*/site-packages/(\S+)", environ)
    assert named
    script = ROOT / named[1]
    assert script.stat().st_mode & 0o111
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packaged = project["tool"]["setuptools"]["package-data"]["service"]
    assert str(script.relative_to(ROOT / "service")) in packaged


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".env",
        ".venv/bin/python",
        "build/bench/flow.npz",
        "deploy/kubernetes/rayservice.yaml",
        "docs/serving.md",
        "exported/bundles/of_a_customer/1/log_prob.onnx",
        "runs/shuttle/checkpoint.pt",
        "service/__pycache__/core.cpython-311.pyc",
        "tests/conftest.py",
        "tokens",
    ],
)
def test_what_no_image_needs_is_not_sent(path: str) -> None:
    assert not in_context(ROOT / path)


def test_what_is_sent_is_small() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is no checkout of git")
    files = [ROOT / name for name in listed.stdout.splitlines()]
    sent = [file for file in files if in_context(file) and file.is_file()]
    assert sum(file.stat().st_size for file in sent) < 12 * 2**20


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    beside = sysconfig.get_path("scripts")
    tool = shutil.which("hadolint", path=beside) or shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not installed")
    subprocess.run([tool, DOCKERFILE], check=True, timeout=60)


def test_arguments_are_put_in_as_docker_does() -> None:
    assert put_in("a-${B}.txt $B $C", {"B": "x"}) == "a-x.txt x $C"
