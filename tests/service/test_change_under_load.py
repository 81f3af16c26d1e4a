"""Versions that change while requests come without a pause."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.bundles import MEAN, exact, ordinary_rows, write_gaussian
from tests.engines import ALLOWED, embedded

SETTINGS = ALLOWED | {"LOGDET_FOLLOW_S": "0.1", "LOGDET_GRPC": "false"}
MEANS = {1: MEAN, 2: MEAN + 0.5, 3: MEAN - 0.5}


class Clients:
    """Ask for log-densities until told to stop, and hold every answer against its version."""

    def __init__(self, url: str, count: int) -> None:
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(count)]
        self.failed: list[Any] = []
        self.versions: list[int] = []

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_version(self, version: int) -> None:
        """Until one was answered by it."""
        deadline = time.monotonic() + 20.0
        begun = len(self.versions)
        while version not in self.versions[begun:]:
            assert time.monotonic() < deadline, self.failed
            time.sleep(0.01)

    def _ask(self, seed: int) -> None:
        x = ordinary_rows(1 + 3 * seed, seed)
        with httpx.Client(base_url=self._url, timeout=30) as api:
            while not self._stop.is_set():
                answer = api.post("/v1/models/gauss/score", json={"rows": x.tolist()})
                version = answer.json().get("version")
                mean = MEANS.get(version)
                if mean is None or not np.allclose(
                    answer.json()["log_prob"], exact(x, mean).log_prob, atol=1e-3
                ):
                    self.failed.append(answer.text)
                self.versions.append(version)


def test_no_request_fails_or_is_answered_by_another_version_than_it_says(tmp_path: Path) -> None:
    root = tmp_path / "bundles"
    write_gaussian(root, "gauss", 1, mean=MEANS[1])
    with embedded(root, SETTINGS) as running, Clients(running.url, 4) as clients:
        serve = f"{running.url}/v1/models/gauss/serve"
        for version in (2, 3):
            write_gaussian(root, "gauss", version, mean=MEANS[version])
            clients.await_version(version)
        for body in ({"version": 2}, {"version": 1}, {"version": 3, "challenger": 1}) * 3:
            answer = httpx.post(serve, json=body)
            assert (answer.status_code, answer.json()["version"]) == (200, body["version"])
            since = len(clients.versions)
            clients.await_version(body["version"])
            time.sleep(0.05)
            # What was on its way may still be of the one before: one request of each client.
            late = [v for v in clients.versions[since:] if v != body["version"]]
            assert len(late) <= 4
        page = httpx.get(f"{running.url}/metrics").text
    assert clients.failed == []
    assert len(clients.versions) > 100
    assert "logdet_compared_rows_total{" in page
    assert 'logdet_serving_version{model="gauss",replica="0",role="challenger"} 1.0' in page
