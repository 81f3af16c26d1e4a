"""What is put under load, and how each server is started."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.asking import Endpoint
from tests.bench.bodies import INFER, MODEL
from tests.bench.cells import Place

ROWS, IN_FLIGHT = (1, 256, 4096), (1, 8, 64)
GRID = tuple((rows, in_flight) for rows in ROWS for in_flight in IN_FLIGHT)
SCALING = ((256, 8),)
OURS = ("JSON", "binary", "gRPC")
EMBEDDED, RAY, BARE, PLAIN_RAY = "embedded", "Ray Serve", "bare ASGI", "plain Ray Serve, FastAPI"
ONE_REPLICA, TWO_REPLICAS = "Ray Serve, 1 replica of 1 session", "Ray Serve, 2 replicas of 1"
# Set for everybody: one thread a session is what all of them are told.
_THREADS = {"OMP_NUM_THREADS": "1"}
_OF_OTHERS = ("RAY_", "LOGDET_", "PYTHON", "OMP_")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be started.

    Attributes:
        name: As the table has it.
        command: That serves until SIGTERM.
        endpoints: Where it is asked.
        grid: Rows of a request and requests in flight, of every phase.
        environ: Variables beside those of this process.
        binds_everything: Whether it listens beyond loopback, and so needs a network of its own.
        folder: Where it runs; here if None.
    """

    name: str
    command: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    grid: tuple[tuple[int, int], ...] = GRID
    environ: Mapping[str, str] = field(default_factory=dict)
    binds_everything: bool = False
    folder: Path | None = None

    def places(self) -> list[Place]:
        """What is to be measured of it."""
        kinds = [endpoint.kind for endpoint in self.endpoints]
        return [Place(self.name, kind, *point) for kind in kinds for point in self.grid]

    def whole_environ(self) -> dict[str, str]:
        """Variables to start it with: none that tune a server otherwise."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OF_OTHERS)}
        return kept | _THREADS | dict(self.environ)


def ours_and_limits(bundles: Path, graph: Path) -> list[Server]:
    """The service on both engines, and what it is compared with."""
    return [
        embedded(bundles),
        on_ray(RAY, bundles),
        _bare(graph),
        _plain_ray(graph),
        on_ray(ONE_REPLICA, bundles, grid=SCALING, sessions=1),
        on_ray(TWO_REPLICAS, bundles, grid=SCALING, sessions=1, replicas=2),
    ]


def embedded(bundles: Path, more: Iterable[str] = ()) -> Server:
    """The embedded engine; ``more`` names further kinds of bodies to send it."""
    http, grpc = free_ports(2)
    return Server(
        EMBEDDED,
        _logdet(bundles, http, grpc),
        _ours(http, grpc, (*OURS, *more)),
    )


def on_ray(
    name: str,
    bundles: Path,
    grid: tuple[tuple[int, int], ...] = GRID,
    sessions: int | None = None,
    replicas: int = 1,
) -> Server:
    """Ray Serve in its throughput profile; only binary bodies where the grid is not the whole."""
    http, grpc = free_ports(2)
    everywhere = ("--host=0.0.0.0", "--allow-anonymous")
    return Server(
        name,
        (*_logdet(bundles, http, grpc), "--ray", f"--replicas={replicas}", *everywhere),
        _ours(http, grpc, OURS if grid == GRID else ("binary",)),
        grid,
        {} if sessions is None else {"LOGDET_SESSIONS": str(sessions)},
        binds_everything=True,
    )


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _logdet(bundles: Path, http: int, grpc: int) -> tuple[str, ...]:
    serve = (sys.executable, "-m", "logdet", "serve", f"--bundles={bundles}")
    return (*serve, f"--port={http}", f"--grpc-port={grpc}", "--provider=cpu")


def _ours(http: int, grpc: int, kinds: Iterable[str]) -> tuple[Endpoint, ...]:
    base = f"http://127.0.0.1:{http}"
    others = {
        "gRPC": f"http://127.0.0.1:{grpc}",
        "rows": f"{base}/v1/models/{MODEL}/log_prob",
    }
    return tuple(Endpoint(kind, others.get(kind, base + INFER)) for kind in kinds)


def _bare(graph: Path) -> Server:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}{INFER}"
    command = (sys.executable, "-m", "tests.bench.bare", str(graph), str(port))
    return Server(BARE, command, (Endpoint("JSON", url), Endpoint("binary", url)))


def _plain_ray(graph: Path) -> Server:
    (port,) = free_ports(1)
    return Server(
        PLAIN_RAY,
        (sys.executable, "-m", "tests.bench.plain_ray", str(graph), str(port)),
        (Endpoint("x", f"http://127.0.0.1:{port}/log_prob"),),
        environ={"RAY_USAGE_STATS_ENABLED": "0"},
        binds_everything=True,  # of Ray's core, some ports
    )
