"""gRPC of the embedded engine as a process."""

from __future__ import annotations

import concurrent.futures
import queue
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from service.config import ServiceConfig
from service.embedded import serve
from service.errors import StartError
from service.grpc.port import probe
from tests.bundles import exact, ordinary_rows
from tests.engines import ROOT, Running, embedded
from tests.rpc import DENSITY, INFERENCE, plain

pytestmark = pytest.mark.serve

OWN = [("grpc.use_local_subchannel_pool", 1)]


def address(running: Running) -> str:
    found = re.search(r"gRPC on ([\d.:]+)", running.banner)
    assert found, running.banner
    return found.group(1)


def test_the_start_says_where_and_a_stop_does_not_wait_for_idle_streams(root: Path) -> None:
    x = ordinary_rows(3)
    matrix = plain("logdet.v1.Matrix")(rows=3, columns=4, values=x.ravel().tolist())
    request = plain("logdet.v1.LogProbRequest")(model="gauss", rows=matrix)
    wait: queue.Queue[bytes] = queue.Queue()
    with embedded(root) as running, grpc.insecure_channel(address(running)) as channel:
        data = channel.unary_unary(f"/{DENSITY}/LogProb")(request.SerializeToString(), timeout=5)
        answer = plain("logdet.v1.LogProbResponse").FromString(data)
        np.testing.assert_allclose(answer.log_prob, exact(x).log_prob, atol=1e-4)
        page = httpx.get(running.url + "/metrics").text
        assert 'method="log_prob",model="gauss",protocol="grpc"' in page
        stream = channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")(iter(wait.get, b""))
        wait.put(plain("inference.ModelInferRequest")(model_name="nobody").SerializeToString())
        next(stream)
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        assert time.monotonic() - begun < 5
        wait.put(b"")


def test_sigterm_answers_every_call_that_was_sent_before(root: Path) -> None:
    x = ordinary_rows(1000)
    matrix = plain("logdet.v1.Matrix")(rows=1000, columns=4, values=x.ravel().tolist())
    request = plain("logdet.v1.LogProbRequest")(model="gauss", rows=matrix).SerializeToString()
    sent: list[tuple[float, float, grpc.StatusCode]] = []

    def client(target: str) -> None:
        """Call until refused."""
        code = grpc.StatusCode.OK
        with grpc.insecure_channel(target, options=OWN) as channel:
            call = channel.unary_unary(f"/{DENSITY}/LogProb")
            while code is grpc.StatusCode.OK:
                begun = time.monotonic()
                try:
                    call(request, timeout=20)
                except grpc.RpcError as error:
                    code = error.code()  # type: ignore[attr-defined]
                sent.append((begun, time.monotonic(), code))

    with embedded(root) as running, concurrent.futures.ThreadPoolExecutor(4) as clients:
        done = [clients.submit(client, address(running)) for _ in range(4)]
        time.sleep(1.0)
        stopped = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        for each in done:
            each.result(30)
    before = {code for begun, _, code in sent if begun < stopped}
    assert any(begun < stopped <= ended for begun, ended, _ in sent)
    assert before == {grpc.StatusCode.OK}
    assert {code for *_, code in sent} == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


def test_a_port_that_was_asked_for_and_is_taken_ends_the_start(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port} .*another --grpc-port"):
            serve(ServiceConfig(bundles=root, port=0, grpc_port=port))


def test_without_the_next_port_http_is_served_alone_and_the_start_says_so(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] - 1
        with embedded(root, {"LOGDET_PORT": str(port)}) as running:
            assert "without gRPC: the next port is not to be had" in running.banner
            assert httpx.get(running.url + "/healthz").status_code == 200


def test_it_can_be_left_out(root: Path) -> None:
    port = probe("127.0.0.1", 0)
    settings = {"LOGDET_GRPC": "0", "LOGDET_GRPC_PORT": str(port)}
    with embedded(root, settings) as running:
        assert "gRPC" not in running.banner
        assert probe("127.0.0.1", port) == port


def test_the_command_takes_one_of_the_two_options() -> None:
    command = [sys.executable, "-m", "logdet", "serve", "--no-grpc", "--grpc-port", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "exclude each other" in done.stderr
