"""What the Prometheus operator is told: rules, one scrape of the service, Ray's own metrics."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.kubernetes import rules
from tests.deploy.manifests import (
    KUBERNETES,
    MONITORED,
    Document,
    container,
    documents,
    of_kind,
    pods,
    selects,
)

MONITORS = KUBERNETES / "components" / "monitoring"
PODS = ("10.1.0.5:8000", "10.1.0.6:8000")
START_S = 30.0


def read(name: str) -> Document:
    return dict(yaml.safe_load((MONITORS / f"{name}.yaml").read_text()))


def test_the_rules_are_those_of_prometheus() -> None:
    assert rules.OUT.read_text() == rules.text(), "make manifests"


def test_every_file_of_rules_is_taken(tmp_path: Path) -> None:
    alert = {"alert": "A", "expr": "up == 0"}
    for name in ("alerts", "recording"):
        groups = {"groups": [{"name": name, "rules": [alert]}]}
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(groups))
    (tmp_path / "prometheus.yml").write_text("rule_files: [alerts.yml]")
    made = list(yaml.safe_load_all(rules.text(tmp_path)))
    assert [rule["metadata"]["name"] for rule in made] == ["logdet-alerts", "logdet-recording"]
    assert [rule["spec"]["groups"][0]["rules"] for rule in made] == [[alert], [alert]]


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    for rule in yaml.safe_load_all(rules.OUT.read_text()):
        file = tmp_path / "rules.yml"
        file.write_text(yaml.safe_dump(rule["spec"]))
        # It takes no two groups of one name either.
        subprocess.run(["promtool", "check", "rules", str(file)], check=True, timeout=60)


@pytest.mark.parametrize("name", MONITORED)
def test_the_service_that_is_scraped_is_the_one_that_kuberay_makes(name: str) -> None:
    found = documents(name)
    service = of_kind(found, "RayService")["spec"]["serveService"]
    monitor = of_kind(found, "ServiceMonitor")["spec"]
    assert selects(monitor["selector"], service["metadata"]["labels"])
    (endpoint,) = monitor["endpoints"]
    (port,) = [p for p in service["spec"]["ports"] if p["name"] == endpoint["port"]]
    assert endpoint["path"] == "/metrics"
    address = next(r for r in endpoint["relabelings"] if r.get("targetLabel") == "__address__")
    assert address["replacement"] == f"$1.svc:{port['port']}"
    # No other Service of ours is taken for it.
    others = [d for d in found if d["kind"] == "Service"]
    assert not any(selects(monitor["selector"], d["metadata"].get("labels", {})) for d in others)
    credentials = endpoint["authorization"]["credentials"]
    head, _ = pods([of_kind(found, "RayService")])
    secrets = [v["secret"] for v in head["spec"]["volumes"] if "secret" in v]
    assert credentials["name"] in [secret["secretName"] for secret in secrets]


@pytest.mark.parametrize("name", MONITORED)
def test_rays_own_metrics_are_scraped_of_every_pod(name: str) -> None:
    found = documents(name)
    monitor = of_kind(found, "PodMonitor")["spec"]
    head, *workers = pods([of_kind(found, "RayService")])
    scraped = {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]}
    for pod in (head, *workers):
        assert selects(monitor["selector"], pod["metadata"]["labels"])
        ports = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
        assert ports["metrics"] == 8080
        # The service's own page would count every row once for each pod.
        assert "serve" not in scraped
    assert scraped <= {port["name"] for port in container(head)["ports"]}


def test_all_pods_are_one_target(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    relabelings = read("servicemonitor")["spec"]["endpoints"][0]["relabelings"]
    assert scraped(tmp_path / "one", relabelings) == [
        "http://logdet-serve-svc.prod.svc:8000/metrics"
    ]
    assert len(scraped(tmp_path / "each", [])) == len(PODS)


def scraped(folder: Path, relabelings: list[Document]) -> list[str]:
    """Addresses that Prometheus scrapes of a Service of two pods."""
    folder.mkdir()
    found = [
        {
            "targets": [pod],
            "labels": {
                "__meta_kubernetes_namespace": "prod",
                "__meta_kubernetes_service_name": "logdet-serve-svc",
                "__meta_kubernetes_pod_name": f"logdet-x7k2p-worker-{number}",
            },
        }
        for number, pod in enumerate(PODS)
    ]
    job = {
        "job_name": "logdet",
        "static_configs": found,
        "relabel_configs": [*OF_THE_OPERATOR, *map(snake_case, relabelings)],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    with prometheus(folder) as url:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            answer = httpx.get(f"{url}/api/v1/targets")
            targets = answer.json()["data"]["activeTargets"] if answer.is_success else []
            if targets:
                return [target["scrapeUrl"] for target in targets]
            time.sleep(0.2)
    raise TimeoutError("no target")


# What it says of each target before what a monitor asks for.
OF_THE_OPERATOR = [
    {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}
    for source, target in [
        ("namespace", "namespace"),
        ("service_name", "service"),
        ("pod_name", "pod"),
        ("service_name", "job"),
    ]
] + [{"target_label": "endpoint", "replacement": "serve"}]


def snake_case(relabeling: Document) -> Document:
    """As Prometheus writes what its operator writes in its own way."""
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {names.get(key, key): value for key, value in relabeling.items()}


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """One with the configuration of a folder, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
    }
    command: list[Any] = ["prometheus", *(f"--{key}={value}" for key, value in options.items())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        wait_for(f"http://{address}/-/ready", process, folder / "log")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(START_S)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(log.read_text())
