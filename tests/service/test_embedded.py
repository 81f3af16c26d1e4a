"""The embedded engine as a process."""

from __future__ import annotations

import concurrent.futures
import json
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.config import ServiceConfig
from service.embedded import serve
from service.errors import StartError
from tests.bundles import exact, ordinary_rows
from tests.engines import ROOT, embedded

pytestmark = pytest.mark.serve
URL = "/v1/models/gauss/log_prob"


def test_it_starts_in_under_three_seconds_and_its_curl_works(root: Path) -> None:
    started = time.monotonic()
    with embedded(root) as running:
        assert time.monotonic() - started < 3.0
        command = running.banner.splitlines()[-1].strip()
        assert command.startswith("curl")
        arguments = shlex.split(command)
        body = json.loads(arguments[arguments.index("-d") + 1])
        url = next(a for a in arguments if a.startswith("http"))
        answer = httpx.post(url, json=body).json()
        assert answer["status"] == ["ok"]


def test_sigterm_under_load_finishes_what_is_in_flight(root: Path) -> None:
    x = ordinary_rows(60_000)
    body = json.dumps({"rows": x.tolist()}).encode()
    headers = {"content-type": "application/json", "connection": "close"}
    with embedded(root, {"LOGDET_CHUNK_ROWS": "64"}) as running:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = [
                pool.submit(
                    httpx.post, running.url + URL, content=body, headers=headers, timeout=60
                )
                for _ in range(4)
            ]
            _wait_for_inflight(running.url, 4)
            running.process.send_signal(signal.SIGTERM)
            for answer in answers:
                got = answer.result()
                assert got.status_code == 200
                assert len(got.json()["log_prob"]) == len(x)
        assert running.process.wait(20) == 0


def test_sigint_stops_it_cleanly_too(root: Path) -> None:
    with embedded(root) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10) == 0


def test_a_small_request_is_not_held_up_by_a_very_large_one(root: Path) -> None:
    rows = 200_000
    body = json.dumps({"rows": np.round(ordinary_rows(rows), 3).tolist()}).encode()
    headers = {"content-type": "application/json"}
    one = ordinary_rows(1)
    with (
        embedded(root, {"LOGDET_CHUNK_ROWS": "256"}) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        large = pool.submit(
            httpx.post, running.url + URL, content=body, headers=headers, timeout=60
        )
        _wait_for_inflight(running.url, 1)
        seconds = []
        while not large.done() and len(seconds) < 200:
            started = time.monotonic()
            answer = client.post(URL, json={"rows": one.tolist()}).json()
            seconds.append(time.monotonic() - started)
            assert answer["log_prob"][0] == pytest.approx(exact(one).log_prob[0], abs=1e-4)
        assert len(large.result().json()["log_prob"]) == rows
    assert len(seconds) >= 3
    assert statistics.median(seconds) < 0.1


def test_a_port_in_use_gives_one_clear_line(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}"):
            serve(ServiceConfig(bundles=root, port=port))


def test_it_needs_neither_ray_nor_torch_nor_pyarrow() -> None:
    check = (
        "import sys, service.embedded; "
        "bad = {'ray', 'torch', 'pyarrow', 'onnx', 'grpc'} & set(sys.modules); "
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _wait_for_inflight(url: str, requests: int) -> None:
    for _ in range(2000):
        page = httpx.get(url + "/metrics").text
        line = next(
            row for row in page.splitlines() if row.startswith("logdet_inflight_requests{")
        )
        if float(line.rsplit(" ", 1)[1]) >= requests:
            return
        time.sleep(0.005)
    raise AssertionError(f"never saw {requests} requests in flight")
