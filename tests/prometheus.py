"""A real Prometheus on loopback, with the configuration and the rules of ``deploy/``."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

DEPLOY = Path(__file__).parents[1] / "deploy"
PATIENCE_S = 60
_SCRAPE, _EVALUATE = "2s", "1s"


def needed(program: str) -> str:
    """The program's path; without it the test is skipped."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: apt-get install prometheus)")
    return found


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Answers queries over what it has scraped."""

    url: str
    client: httpx.Client

    def get(self, path: str, **params: Any) -> Any:
        """The data of an answer of its API."""
        answer = self.client.get(f"{self.url}/api/v1/{path}", params=params)
        assert answer.status_code == 200, f"{params}: {answer.text}"
        return answer.json()["data"]

    def value(self, expr: str) -> list[Any]:
        """Series of an expression now."""
        return list(self.get("query", query=expr)["result"])

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = self.get("alerts")["alerts"]
        return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}

    def is_quiet(self) -> bool:
        """Whether no alert fires now, nor at any of the next looks."""
        for _ in range(5):
            if self.firing():
                return False
            time.sleep(0.5)
        return True

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Until something holds."""
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
            time.sleep(0.3)


@contextmanager
def scraping(url: str, folder: Path) -> Iterator[Prometheus]:
    """One that scrapes a service all the time, and whose alerts fire as soon as they hold."""
    program = needed("prometheus")
    configure(url, folder)
    address = f"127.0.0.1:{_free_port()}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    prometheus = Prometheus(f"http://{address}", httpx.Client(timeout=30))
    try:
        prometheus.wait(lambda: _is_ready(prometheus, process), "prometheus is ready")
        yield prometheus
    finally:
        prometheus.client.close()
        process.terminate()
        process.wait(30)


def configure(url: str, folder: Path) -> None:
    """The files of ``deploy/`` with another target, and with nothing to wait for."""
    text = (DEPLOY / "prometheus.yml").read_text()
    assert "logdet:8000" in text
    text = text.replace("logdet:8000", url.partition("://")[2])
    text = re.sub(r"scrape_interval: \w+", f"scrape_interval: {_SCRAPE}", text)
    text = re.sub(r"scrape_timeout: \w+", f"scrape_timeout: {_SCRAPE}", text)
    text = text.replace("global:\n", f"global:\n  evaluation_interval: {_EVALUATE}\n")
    (folder / "prometheus.yml").write_text(text)
    for name in ("alerts.yml", "recording.yml"):
        rules = (DEPLOY / name).read_text()
        rules = re.sub(r"^( +for): \w+$", rf"\1: {_EVALUATE}", rules, flags=re.MULTILINE)
        rules = re.sub(r"^( +interval): \w+$", rf"\1: {_EVALUATE}", rules, flags=re.MULTILINE)
        # How fast this machine is, is not what is tested.
        (folder / name).write_text(rules.replace('le="0.25"', 'le="10.0"'))


def _is_ready(prometheus: Prometheus, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "prometheus ended"
    try:
        return prometheus.client.get(f"{prometheus.url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
