"""Sessions take their memory from one arena, so that many of them need no more than one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Loads some sessions of a graph, runs each of them once, tells by how much memory has grown.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from exported.bundle import read_bundle
from service.runtime import Runtime

def resident_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

bundle = read_bundle(Path("exported/bundles/shuttle/1"))
graph = bundle.manifest.graphs["log_prob"]
count = int(sys.argv[1])
sessions = Runtime.choose("cpu", count).load(graph, bundle.graph("log_prob"))
x = np.tile(np.median(bundle.golden()["log_prob.in.x"], axis=0), (4096, 1))
small = resident_mib()
for _ in range(count):  # in turn
    sessions.run({"x": x})
print(resident_mib() - small)
"""


def growth_mib(sessions: int) -> float:
    command = [sys.executable, "-c", PROGRAM, str(sessions)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout)


def test_sessions_that_run_in_turn_need_the_memory_of_one() -> None:
    one, eight = growth_mib(1), growth_mib(8)
    assert one > 5.0
    assert eight < 2.0 * one
