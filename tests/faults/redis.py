"""A Redis in which the head of a cluster keeps its state, on loopback, as long as it is wanted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.processes import wait_for

SERVER = "redis-server"
PORT = 6390
START_S = 10.0
# What a head is started with, and KubeRay sets where a cluster has ``gcsFaultToleranceOptions``:
# where its state is, and under which name.
KEPT = {
    "RAY_REDIS_ADDRESS": f"127.0.0.1:{PORT}",
    "RAY_external_storage_namespace": "logdet",
}


def is_there() -> bool:
    """Whether this machine has one."""
    return shutil.which(SERVER) is not None


@contextmanager
def redis(folder: Path) -> Iterator[Mapping[str, str]]:
    """An empty one; the variables of a head that uses it."""
    where = ["--bind", "127.0.0.1", "--port", str(PORT), "--dir", str(folder)]
    process = subprocess.Popen(
        [SERVER, *where, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(PORT, START_S)
        yield KEPT
    finally:
        process.terminate()
        process.wait()
