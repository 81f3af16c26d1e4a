"""A Ray cluster of a head and two workers on this machine, in a network of its own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service.ray_profile import environment
from tests.engines import ROOT
from tests.processes import family_of, title

HEAD_PORT = 6379
ADDRESS = f"127.0.0.1:{HEAD_PORT}"
PORT, AGENT_PORT, METRICS_PORT, STATISTICS_PORT = 8000, 52365, 9101, 8404
WORKERS = (1, 2)
READY_S = 120.0
EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - in a network of its own
DEPLOY = """
import sys
import ray
from ray import serve
from service.config import ServiceConfig
from service.ray_replica import application
config = ServiceConfig(
    bundles=sys.argv[1], host="0.0.0.0", grpc_port=None, sessions=1, allow_anonymous=True
)
ray.init(address=sys.argv[2], log_to_driver=False)
serve.start(proxy_location="EveryNode", http_options={"host": "0.0.0.0", "port": 8000})
serve.run(application(config, 2, 0), name="logdet")
"""


@dataclass(slots=True)
class Cluster:
    """Nodes by number, the head 0; every node's proxy is at the port after the one before.

    Attributes:
        folder: For what Ray keeps.
        environ: Of all nodes.
        nodes: The command that started each.
    """

    folder: Path
    environ: dict[str, str]
    nodes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, number: int) -> None:
        """Start a node."""
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--block"]
        own = [f"--address={ADDRESS}", "--num-cpus=1"]
        if number == 0:
            own = ["--head", f"--port={HEAD_PORT}", "--num-cpus=0", "--include-dashboard=false"]
            own += [f"--temp-dir={self.folder}"]
        common = ["--node-ip-address=127.0.0.1", f"--object-store-memory={128 * 2**20}"]
        common += [f"--dashboard-agent-listen-port={AGENT_PORT + number}"]
        self.nodes[number] = subprocess.Popen(
            [*ray, *own, *common],
            cwd=ROOT,
            env=self.environ | _ports(number),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if number == 0:
            _wait_for_head()

    def kill(self, number: int) -> float:
        """End every process of a node at once; when, by :func:`time.monotonic`."""
        node = self.nodes.pop(number)
        processes, at = family_of(node.pid), time.monotonic()
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        node.wait()
        return at

    def begin(self, bundles: Path) -> None:
        """Start every node, and serve."""
        for number in (0, *WORKERS):
            self.start(number)
        self.deploy(bundles)
        self.wait()

    def deploy(self, bundles: Path) -> None:
        """Serve two replicas."""
        command = [sys.executable, "-c", DEPLOY, str(bundles), ADDRESS]
        subprocess.run(command, cwd=ROOT, env=self.environ, check=True, timeout=READY_S)

    def replicas(self) -> int:
        """How many processes answer, over all nodes."""
        processes = {pid for node in self.nodes.values() for pid in family_of(node.pid)}
        return sum("ServeReplica" in title(pid) for pid in processes)

    def wait(self) -> None:
        """Until two replicas run and every worker's proxy answers."""
        until = time.monotonic() + READY_S
        while not (self.replicas() == 2 and all(_answers(n) for n in self.nodes if n)):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.replicas()} replicas after {READY_S:g} s")
            time.sleep(0.3)


def url(number: int) -> str:
    """Of the proxy of a node."""
    return f"http://127.0.0.1:{PORT + number}"


@contextmanager
def cluster(bundles: Path, kept: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster that serves; ``kept`` are variables that say where its head keeps its state."""
    with nodes(kept) as found:
        found.begin(bundles)
        yield found


@contextmanager
def nodes(kept: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster none of whose nodes has been started."""
    profile = environment(EVERY_INTERFACE, secrets.token_hex(32), {})
    profile |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "LOGDET_FOLLOW_S": "0"}
    with tempfile.TemporaryDirectory(
        prefix="ray-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        found = Cluster(Path(folder), os.environ | profile | (kept or {}))
        try:
            yield found
        finally:
            for number in list(found.nodes):
                found.kill(number)


def _ports(number: int) -> dict[str, str]:
    if number == 0:
        return {}
    return {
        "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(PORT + number),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(METRICS_PORT + number),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(STATISTICS_PORT + number),
    }


def _wait_for_head() -> None:
    """Until workers can reach it: they do not wait for long."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", HEAD_PORT), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"no head after {READY_S:g} s")


def _answers(number: int) -> bool:
    try:
        return httpx.get(f"{url(number)}/v1/models", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
