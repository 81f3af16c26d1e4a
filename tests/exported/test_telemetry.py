from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import ROOT

_RUN = """
import sys
from pathlib import Path
if sys.argv[1] == "training":
    import training.runner
from service.model import Model
from service.runtime import Runtime
Model.load(Path(sys.argv[2]), Runtime.choose("cpu", 1))
"""
# Any of them would keep onnxruntime quiet by itself.
_QUIET = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS")


@pytest.mark.parametrize("room", ["service", "training"])
def test_a_graph_that_runs_leaves_nothing_in_the_home_directory(room: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in _QUIET}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    bundle = ROOT / "exported" / "bundles" / "shuttle" / "1"
    run = [sys.executable, "-c", _RUN, room, str(bundle)]
    subprocess.run(run, cwd=ROOT, env=env, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
