"""A Redis in which the head of a cluster keeps its state, on loopback, as long as it is wanted."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

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
        _wait()
        yield KEPT
    finally:
        process.terminate()
        process.wait()


def _wait() -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", PORT), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"no Redis after {START_S:g} s")
