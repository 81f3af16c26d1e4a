from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.processes import Tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
CHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n"
# A daemon: its parent ends at once, and it leaves the session.
ORPHAN = """
import subprocess, sys
orphan = subprocess.Popen([sys.executable, '-c', {!r}], start_new_session=True)
print(orphan.pid, flush=True)
"""
STAY = "import time\ntime.sleep(60)\n"


@contextmanager
def running(code: str, folder: Path) -> Iterator[Tree]:
    tree = Tree([sys.executable, "-c", code], os.environ, folder / "log")
    try:
        yield tree
    finally:
        tree.stop()


def wait_for_cpu(tree: Tree, seconds: float) -> None:
    end = time.monotonic() + 30
    while tree.cpu_s() < seconds:
        assert time.monotonic() < end, f"{tree.cpu_s()} s were counted"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "code",
    [CHILD + STAY, BUSY + STAY, ORPHAN.format(BUSY) + STAY],
    ids=["a child that ended", "the server", "an orphan"],
)
def test_busy_processes_are_counted(code: str, tmp_path: Path) -> None:
    with running(code, tmp_path) as tree:
        wait_for_cpu(tree, 0.3)


def test_a_server_that_sleeps_costs_next_to_nothing(tmp_path: Path) -> None:
    with running(STAY, tmp_path) as tree:
        time.sleep(0.3)
        before = tree.cpu_s()
        time.sleep(0.3)
        assert tree.cpu_s() - before < 0.1


def test_a_stop_ends_what_the_server_left_behind(tmp_path: Path) -> None:
    with running(ORPHAN.format(STAY), tmp_path) as tree:
        end = time.monotonic() + 30
        while not (tmp_path / "log").read_text().strip():
            assert time.monotonic() < end
            time.sleep(0.05)
        orphan = int((tmp_path / "log").read_text())
        assert Path(f"/proc/{orphan}").exists()
    assert not Path(f"/proc/{orphan}").exists()
    assert tree.ended
