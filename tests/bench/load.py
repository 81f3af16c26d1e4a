"""h2load: closed-loop clients over HTTP/1.1 with keep-alive, and over h2c for gRPC."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.asking import METHOD, Endpoint
from tests.bench.bodies import KINDS, some_rows

NEEDED = "h2load is needed (Debian: apt-get install nghttp2-client)"
GRPC_CONNECTIONS = 8  # over which the calls in flight are spread
SILENCE_S, LIMIT_S = 60, 300
_COUNTS = re.compile(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded")
_BYTES = re.compile(r"\((\d+)\) data")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load generator saw.

    Attributes:
        requests: That were sent.
        succeeded: Those of them answered with a status of success.
        answered_bytes: Of all answers' bodies.
        seconds: From the first request to the last answer.
        p50_ms: Median of the requests' times.
        p99_ms: Their 99th percentile.
        client_cpu_s: Processor time of the load generator.
    """

    requests: int
    succeeded: int
    answered_bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float
    client_cpu_s: float


class LoadError(Exception):
    """The load generator did not do what it was told."""


def check_tool() -> None:
    """Refuse to begin without h2load.

    Raises:
        LoadError: If it is not there.
    """
    if shutil.which("h2load") is None:
        raise LoadError(NEEDED)


def send(endpoint: Endpoint, rows: int, in_flight: int, requests: int) -> Loaded:
    """Send the same request again and again.

    Args:
        endpoint: Where to.
        rows: Of a request.
        in_flight: Requests that are under way at any time.
        requests: In all; a multiple of ``in_flight``.

    Raises:
        LoadError: If h2load does not end, or says something else.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = _command(endpoint, rows, in_flight, folder)
        before = _children_cpu_s()
        try:
            done = subprocess.run(
                [*command, f"--requests={requests}", endpoint_url(endpoint)],
                check=False,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"{requests} requests took more than {LIMIT_S} s") from error
        return _read(done.stdout, folder / "log", _children_cpu_s() - before)


def endpoint_url(endpoint: Endpoint) -> str:
    """With the path of gRPC's method."""
    return endpoint.url + (METHOD if KINDS[endpoint.kind].protocol == "grpc" else "")


def _command(endpoint: Endpoint, rows: int, in_flight: int, folder: Path) -> list[str]:
    kind = KINDS[endpoint.kind]
    content, headers = kind.build(some_rows(rows))
    if kind.protocol == "grpc":
        content = b"\0" + len(content).to_bytes(4, "big") + content
        headers = {"content-type": "application/grpc", "te": "trailers"}
        connections = min(in_flight, GRPC_CONNECTIONS)
        how = [f"--clients={connections}", f"--max-concurrent-streams={in_flight // connections}"]
    else:
        how = ["--h1", f"--clients={in_flight}"]
    (folder / "body").write_bytes(content)
    files = [f"--data={folder / 'body'}", f"--log-file={folder / 'log'}"]
    patience = f"--connection-inactivity-timeout={SILENCE_S}s"
    return ["h2load", "--threads=1", patience, *how, *files, *_headers(headers, endpoint.headers)]


def _headers(*of: Mapping[str, str]) -> list[str]:
    return [f"--header={name}: {value}" for some in of for name, value in some.items()]


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read(printed: str, log: Path, client_cpu_s: float) -> Loaded:
    counts, size = _COUNTS.search(printed), _BYTES.search(printed)
    if counts is None or size is None:
        raise LoadError(f"h2load says: {printed[-300:]!r}")
    if not int(counts[2]):
        raise LoadError(f"none of {counts[1]} requests succeeded")
    # A line a request: its begin in microseconds, its status, its time in microseconds.
    begun, _, took = np.loadtxt(log, dtype=np.int64, ndmin=2).T
    p50, p99 = np.percentile(took, [50, 99]) / 1e3
    return Loaded(
        requests=int(counts[1]),
        succeeded=int(counts[2]),
        answered_bytes=int(size[1]),
        seconds=float((begun + took).max() - begun.min()) / 1e6,
        p50_ms=float(p50),
        p99_ms=float(p99),
        client_cpu_s=client_cpu_s,
    )
