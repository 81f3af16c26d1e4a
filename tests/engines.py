"""Engines that the conformance suite runs against; each gives a running service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 30
# Another address than loopback, for a run of the suites in a network of their own.
HOST_OF_REPLICAS = "HOST_OF_REPLICAS"
# What the suites ask of a service that is off unless it is asked for.
ALLOWED = {"LOGDET_ALLOW_LOADING": "true"}
EMBEDDED = """
import os
from service.config import ServiceConfig
from service.embedded import serve
serve(ServiceConfig.from_environ(os.environ))
"""
RAY = """
import os
from service.config import ServiceConfig
from service.ray_engine import serve
serve(ServiceConfig.from_environ(os.environ), replicas=2, num_gpus=0.0)
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A service in a process of its own."""

    url: str
    process: subprocess.Popen[str]
    banner: str


@contextmanager
def embedded(bundles: Path, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """The embedded engine on a free port of loopback; settings are LOGDET_ variables."""
    with running_as(EMBEDDED, bundles, settings or {}) as running:
        yield running


@contextmanager
def on_ray(bundles: Path, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Two replicas on Ray Serve, otherwise like :func:`embedded`."""
    given = os.environ.get(HOST_OF_REPLICAS)
    host = {"LOGDET_HOST": given, "LOGDET_ALLOW_ANONYMOUS": "true"} if given else {}
    with running_as(RAY, bundles, host | dict(settings or {})) as running:
        yield running


@contextmanager
def running_as(program: str, bundles: Path, settings: Mapping[str, str]) -> Iterator[Running]:
    """A program that serves, from its banner to its end; settings are environment variables."""
    environ = os.environ | {"LOGDET_BUNDLES": str(bundles), "LOGDET_PORT": "0"} | settings
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        banner = _banner(process)
        found = re.search(r"https?://[\d.:]+", banner)
        if not found:
            raise RuntimeError(f"the service did not start: {banner!r}")
        yield Running(found.group(), process, banner)
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
        process.stdout.close()  # type: ignore[union-attr]


def _banner(process: subprocess.Popen[str]) -> str:
    give_up = threading.Timer(START_TIMEOUT_S, process.kill)
    give_up.start()
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if "curl" in line:
            break
    give_up.cancel()
    return "".join(lines)
