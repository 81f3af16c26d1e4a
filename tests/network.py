"""A network of its own for a command: what binds every interface there is reached by nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tests.engines import HOST_OF_REPLICAS, ROOT

_UNSHARE = ["unshare", "--map-root-user", "--net"]
ADDRESS = "0.0.0.0"  # noqa: S104 - bound where nobody else is


def can_be_made() -> bool:
    """Whether this machine lets us have one."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True).returncode == 0


def inside(command: Sequence[str]) -> list[str]:
    """The command that runs another one in a new network with nothing but loopback."""
    return [*_UNSHARE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]


def pytest_there(*args: str, timeout_s: float) -> str:
    """What a run of pytest says there, with Ray on every interface, once all of it has passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
    done = subprocess.run(
        inside(command),
        cwd=ROOT,
        env=os.environ | {HOST_OF_REPLICAS: ADDRESS},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
