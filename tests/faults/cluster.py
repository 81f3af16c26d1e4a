"""A Ray cluster of a head and two workers on this machine, in a network of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service.ray_profile import environment
from tests.engines import ROOT
from tests.processes import family_of, named, wait_for

HEAD_PORT = 6379
ADDRESS = f"127.0.0.1:{HEAD_PORT}"
PORT, METRICS_PORT, STATISTICS_PORT = 8000, 9101, 8404
# A node whose agents choose a port themselves dies where they take over 15 s to tell it.
OWN_PORTS = {
    "dashboard-agent-listen-port": 52365,
    "dashboard-agent-grpc-port": 52465,
    "runtime-env-agent-port": 52565,
    "metrics-export-port": 52665,
}
WORKERS = (1, 2)
READY_S = 180.0
REPLICA = "ServeReplica"
EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - in a network of its own
# How long nodes wait for a head that is away, as KubeRay has it where the state of one is kept.
WAITING = {"RAY_gcs_rpc_server_reconnect_timeout_s": "600"}
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
        kept: Further variables of the head, which say where it keeps its state.
        nodes: The command that started each.
    """

    folder: Path
    environ: dict[str, str]
    kept: Mapping[str, str] = field(default_factory=dict)
    nodes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, number: int) -> None:
        """Start a node."""
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--block"]
        own = [f"--address={ADDRESS}", "--num-cpus=1"]
        if number == 0:
            own = ["--head", f"--port={HEAD_PORT}", "--num-cpus=0", "--include-dashboard=false"]
            own += [f"--temp-dir={self.folder}"]
        common = ["--node-ip-address=127.0.0.1", f"--object-store-memory={128 * 2**20}"]
        common += [f"--{name}={port + number}" for name, port in OWN_PORTS.items()]
        self.nodes[number] = subprocess.Popen(
            [*ray, *own, *common],
            cwd=ROOT,
            env=self.environ | (self.kept if number == 0 else _ports(number)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if number == 0:
            wait_for(HEAD_PORT, READY_S)  # workers do not wait for long

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
        if number == 0:
            # Elsewhere a new head has a disk of its own, which does not say that there is one.
            (self.folder / "ray_current_cluster").unlink(missing_ok=True)
        return at

    def begin(self, bundles: Path) -> None:
        """Start every node, and serve."""
        for number in (0, *WORKERS):
            self.start(number)
        self.deploy(bundles)
        self.wait()

    def deploy(self, bundles: Path) -> None:
        """Serve two replicas."""
        self.deployed(self.deploying(bundles))

    def deploying(self, bundles: Path) -> subprocess.Popen[bytes]:
        """What asks for two replicas, and ends when there are two."""
        command = [sys.executable, "-c", DEPLOY, str(bundles), ADDRESS]
        return subprocess.Popen(command, cwd=ROOT, env=self.environ)

    def deployed(self, deploying: subprocess.Popen[bytes]) -> None:
        """Wait for the end of :meth:`deploying`."""
        try:
            code = deploying.wait(READY_S)
        finally:
            deploying.kill()
        if code:
            raise RuntimeError(f"the service was not deployed, exit code {code}")

    def replicas(self) -> int:
        """How many processes answer, over all nodes."""
        return sum(len(self.replicas_of(number)) for number in self.nodes)

    def replicas_of(self, number: int) -> list[int]:
        """Processes of a node that answer."""
        return named(self.nodes[number].pid, REPLICA)

    def wait(self) -> None:
        """Until two replicas run and every worker's proxy answers."""
        until = time.monotonic() + READY_S
        while not (self.replicas() == 2 and all(answers(n) for n in self.nodes if n)):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.replicas()} replicas after {READY_S:g} s")
            time.sleep(0.3)


def url(number: int) -> str:
    """Of the proxy of a node."""
    return f"http://127.0.0.1:{PORT + number}"


@contextmanager
def cluster(bundles: Path, kept: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster that serves; ``kept`` says where its head keeps its state, if it does."""
    with nodes(kept) as found:
        found.begin(bundles)
        yield found


@contextmanager
def nodes(kept: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster none of whose nodes has been started."""
    profile = environment(EVERY_INTERFACE, secrets.token_hex(32), {})
    profile |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "LOGDET_FOLLOW_S": "0"}
    profile |= WAITING if kept else {}
    with tempfile.TemporaryDirectory(
        prefix="ray-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        found = Cluster(Path(folder), os.environ | profile, kept or {})
        try:
            yield found
        finally:
            for number in list(found.nodes):
                found.kill(number)


def _ports(number: int) -> dict[str, str]:
    return {
        "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(PORT + number),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(METRICS_PORT + number),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(STATISTICS_PORT + number),
    }


def answers(number: int) -> bool:
    """Whether the proxy of a node has a replica to send requests to."""
    try:
        return httpx.get(f"{url(number)}/v1/models", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
