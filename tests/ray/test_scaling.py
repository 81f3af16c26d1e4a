"""The number of replicas follows the work, and no request is lost on the way."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.engines import ROOT, on_ray
from tests.faults.steady import Steady, kinds
from tests.processes import named

pytestmark = [pytest.mark.serve, pytest.mark.timeout(400)]

SETTINGS = {
    "LOGDET_MIN_REPLICAS": "1",
    "LOGDET_MAX_REPLICAS": "2",
    "LOGDET_SCALE_UP_AFTER_S": "1",
    "LOGDET_SCALE_DOWN_AFTER_S": "3",
    "LOGDET_LIMIT_ROWS": "1000000",
}
HEAVY = {"of": [{"mean": "f1"}], "samples": 50_000}
WITHIN_S = 100.0


def until(true: Callable[[], bool]) -> float:
    """How many seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < WITHIN_S, "it did not happen"
        time.sleep(0.2)
    return time.monotonic() - began


@contextmanager
def load(url: str, clients: int = 3) -> Iterator[list[int]]:
    """Clients that draw many samples; the statuses of their answers."""
    stop, statuses = threading.Event(), list[int]()

    def draw() -> None:
        with httpx.Client(timeout=60) as client:
            while not stop.is_set():
                answer = client.post(f"{url}/v1/models/shuttle/expectation", json=HEAVY)
                statuses.append(answer.status_code)

    threads = [threading.Thread(target=draw) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_load_brings_a_replica_and_quiet_takes_it_away(bundles: Path, tmp_path: Path) -> None:
    for bundle in (bundles / "gauss", ROOT / "exported" / "bundles" / "shuttle"):
        (tmp_path / bundle.name).symlink_to(bundle)
    with on_ray(tmp_path, SETTINGS) as running:
        address = re.search(r"gRPC on ([\d.:]+)", running.banner)
        assert address

        def replicas() -> int:
            return len(named(running.process.pid, "ServeReplica"))

        assert replicas() == 1
        with Steady(kinds(running.url, address[1]), rate=10) as steady:
            with load(running.url) as statuses:
                up_s = until(lambda: answering(running.url) == 2)
                time.sleep(3.0)
                assert replicas() == 2
            down_s = until(lambda: replicas() == 1)
            time.sleep(2.0)
    print(f"up after {up_s:.0f} s, down after {down_s:.0f} s")  # noqa: T201 - the figures
    assert set(statuses) == {200}
    for name, told in steady.told.items():
        assert not told.wrong
        assert told.first == [], name
        assert told.sent > 50


def answering(url: str) -> int:
    """How many replicas are on the page of metrics."""
    page = httpx.get(f"{url}/metrics", timeout=30).text
    return len(set(re.findall(r'logdet_queue_rows\{replica="([^"]+)"', page)))
