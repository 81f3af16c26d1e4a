"""The predictor of KServe: its file against the service that its arguments start."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.config import ServiceConfig

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kserve"
PAGE = ROOT / "docs" / "kserve.md"
# What cannot be as in a pod: its address, its ports, its folder.
HERE = {"--host": "127.0.0.1", "--port": "0", "--grpc-port": "0", "--bundles": "exported/bundles"}


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


@pytest.fixture(scope="module")
def container() -> Any:
    (one,) = read("servingruntime")["spec"]["containers"]
    return one


@pytest.fixture(scope="module")
def addresses(container: Any) -> Iterator[tuple[str, str]]:
    """Of the service that the file's arguments start, HTTP and gRPC."""
    options = [argument.partition("=") for argument in container["args"][1:]]
    changed = [f"{name}={HERE[name]}" if name in HERE else name for name, _, _ in options]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("logdet"), *changed],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    banner = ""
    while "curl" not in banner:
        banner += process.stdout.readline() or pytest.fail(f"the service did not start: {banner}")
    url, rpc = re.search(r"http://[\d.:]+", banner), re.search(r"gRPC on ([\d.:]+)", banner)
    assert url, banner
    assert rpc, banner
    yield url[0], rpc[1]
    process.terminate()
    assert process.wait(40) == 0
    process.stdout.close()


def test_ports_and_probes_name_each_other(container: Any) -> None:
    given = dict(argument.partition("=")[::2] for argument in container["args"][2:])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http1": int(given["--port"]), "h2c": int(given["--grpc-port"])}
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == ports["http1"]
    assert given["--bundles"] == "/mnt/models"  # where the storage initializer puts them


def test_the_service_asks_for_a_runtime_that_there_is() -> None:
    runtime, predictor = read("servingruntime"), read("inferenceservice")["spec"]["predictor"]
    model = predictor["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    formats = [
        {key: entry[key] for key in ("name", "version")}
        for entry in runtime["spec"]["supportedModelFormats"]
    ]
    assert model["modelFormat"] in formats
    (one,) = runtime["spec"]["containers"]
    annotations = runtime["spec"]["annotations"]
    assert f"--port={annotations['prometheus.kserve.io/port']}" in one["args"]
    (pause,) = one["lifecycle"]["preStop"]["exec"]["command"][1:]
    drain = ServiceConfig.model_fields["drain_timeout_s"].default
    assert predictor["terminationGracePeriodSeconds"] > float(pause) + drain + 10


def test_pages_that_the_files_name_are_answered(
    container: Any, addresses: tuple[str, str]
) -> None:
    url, _ = addresses
    path = read("servingruntime")["spec"]["annotations"]["prometheus.kserve.io/path"]
    assert "logdet_" in httpx.get(url + path).text


def test_what_the_probes_ask_is_answered(container: Any, addresses: tuple[str, str]) -> None:
    url, rpc = addresses
    for probe in ("readinessProbe", "livenessProbe"):
        assert httpx.get(url + container[probe]["httpGet"]["path"]).status_code == 200
    with grpc.insecure_channel(rpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_request_on_the_page_is_answered(addresses: tuple[str, str]) -> None:
    url, _ = addresses
    page = PAGE.read_text()
    path = re.search(r"\$INGRESS(/\S+)\"", page)
    body = re.search(r"-d '(\{.*?\})'", page, re.DOTALL)
    assert path
    assert body
    headers = {"content-type": "application/json"}
    answer = httpx.post(url + path[1], content=body[1].encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert [output["name"] for output in answer.json()["outputs"]] == ["log_prob", "p_value"]
