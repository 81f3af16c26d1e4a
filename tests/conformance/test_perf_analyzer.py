"""perf_analyzer, the stock load generator of Triton's clients, completes against the service."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PERF = Path(sys.executable).with_name("perf_analyzer")


@pytest.fixture(scope="module")
def libraries() -> dict[str, str]:
    """The environment in which it finds what it is linked against."""
    found = importlib.util.find_spec("nvidia.cuda_runtime")
    if not PERF.exists() or found is None or not found.submodule_search_locations:
        pytest.skip("perf_analyzer or the CUDA runtime that it is linked against is not installed")
    folder = Path(next(iter(found.submodule_search_locations))) / "lib"
    environ = os.environ | {"LD_LIBRARY_PATH": str(folder)}
    linked = subprocess.run(["ldd", PERF], env=environ, capture_output=True, text=True)
    if missing := re.findall(r"(\S+) => not found", linked.stdout):
        pytest.skip(f"perf_analyzer lacks {missing[0]}, a package of the system")
    return environ


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("rows", [4])
def test_it_completes(
    engine: str, grpc_engine: str, libraries: dict[str, str], protocol: str, rows: int
) -> None:
    address = engine.removeprefix("http://") if protocol == "http" else grpc_engine
    command = [PERF, "-m", "gauss", "-u", address, "-i", protocol, "-b", str(rows)]
    # A busy machine is never stable: that it ends well is what is asked here. It wants statistics
    # that grow from window to window, and the page of several replicas may be a second old.
    steady = ["--measurement-interval", "1500", "--stability-percentage", "999"]
    run = subprocess.run([*command, *steady], env=libraries, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    requests, answered = (
        int(found[1])
        for name in ("Successful request", "Inference")
        if (found := re.search(rf"{name} count: (\d+)", run.stdout))
    )
    assert requests > 20
    # A request at an edge of the measurement may have its rows inside and its end outside.
    assert abs(answered - rows * requests) <= 2 * rows
