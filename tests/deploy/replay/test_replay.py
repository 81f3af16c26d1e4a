"""The service's image does what it is for, as far as that shows without a container engine.

The Dockerfile's own lines are followed in a root of their own, from the lock file alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exported.bundle import Bundle, read_bundle
from tests import network
from tests.deploy.replay.ask import PACKAGES

ROOT = Path(__file__).resolve().parents[3]
BUNDLES = ROOT / "exported" / "bundles"
_MOUNTS, _PROCESSES = ["--mount", "--propagation", "private"], ["--pid", "--fork", "--mount-proc"]
UNSHARE = ["unshare", *_MOUNTS, *_PROCESSES, "--kill-child"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def shuttle() -> Bundle:
    return read_bundle(BUNDLES / "shuttle" / "1")


def replayed(folder: Path, *arguments: str) -> Any:
    """What :mod:`tests.deploy.replay.run` tells."""
    if os.getuid():
        pytest.skip("only root can give a command another root")
    if not network.can_be_made() or subprocess.run([*UNSHARE, "true"], check=False).returncode:
        pytest.skip("no namespace of our own can be made here")
    program = [*UNSHARE, sys.executable, "-m", "tests.deploy.replay.run", str(folder), *arguments]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    shutil.rmtree(folder)  # most of a gigabyte
    # torch without CUDA is in an index of its own; what the service needs is in every one.
    if arguments[0] == "train" and "No matching distribution found for torch" in done.stderr:
        pytest.skip("no index that has torch without CUDA can be reached")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def told(shuttle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Any:
    rows = json.dumps(shuttle.golden()["log_prob.in.x"].tolist())
    return replayed(tmp_path_factory.mktemp("image"), "service", rows)


def test_the_image_serves_the_shipped_bundles(told: Any) -> None:
    shipped = {path.name for path in BUNDLES.iterdir() if path.is_dir()}
    served = {model["name"]: model["problem"] for model in told["models"]["models"]}
    assert served == dict.fromkeys(shipped & {"shuttle", "digits_vae"})


def test_the_image_gives_the_densities_of_the_golden_rows(told: Any, shuttle: Bundle) -> None:
    expected = shuttle.golden()["log_prob.out.log_prob"]
    tolerance = shuttle.manifest.graphs["log_prob"].outputs[0].tolerance
    allowed = np.asarray(tolerance.absolute) + tolerance.relative * np.abs(expected)
    assert len(expected) > 10
    assert (np.abs(np.array(told["score"]["log_prob"]) - expected) <= allowed).all()


def test_the_image_has_what_serves_and_nothing_else(told: Any) -> None:
    assert {"torch", "onnx", "training", "pip"} <= set(PACKAGES)
    assert told["found"] == ["ray", "onnxruntime"]


def test_the_image_writes_in_memory_alone(told: Any) -> None:
    assert told["writable"] == ["/dev/shm", "/tmp"]  # noqa: S108


def test_the_image_runs_as_its_user(told: Any) -> None:
    assert told["user"] == 10001


def test_the_image_ends_well_when_it_is_told_to(told: Any) -> None:
    assert told["status"] == 0


def test_the_image_of_the_trainer_trains(tmp_path: Path) -> None:
    told = replayed(tmp_path / "image", "train")
    assert {"manifest.json", "log_prob.onnx", "calibration.npz"} <= set(told["written"])
    assert told["found"] == "['torch']"
