"""The files that describe a deployment agree with the code and with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import ServiceConfig
from service.door import refuse_undecided

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
API_PORT = ServiceConfig.model_fields["port"].default


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def compose() -> Any:
    return read_yaml(ROOT / "docker-compose.yml")


@pytest.fixture(scope="module")
def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def test_who_may_ask_is_decided_in_every_file(compose: Any) -> None:
    kserve = read_yaml(DEPLOY / "kserve" / "servingruntime.yaml")
    (predictor,) = kserve["spec"]["containers"]
    given = {entry["name"]: entry["value"] for entry in predictor["env"]}
    for environ in (compose["services"]["logdet"]["environment"], given):
        refuse_undecided(ServiceConfig.from_environ(environ, host="0.0.0.0"))  # noqa: S104


def test_published_ports_of_the_compose_file_are_on_loopback(compose: Any) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_services_are_read_only_and_gain_no_privileges(compose: Any) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["cap_drop"] == ["ALL"]


def test_a_stop_of_the_container_waits_longer_than_the_service_drains(compose: Any) -> None:
    grace = int(compose["services"]["logdet"]["stop_grace_period"].removesuffix("s"))
    assert grace > ServiceConfig.model_fields["drain_timeout_s"].default + 10


def test_paths_that_the_compose_file_names_exist(compose: Any) -> None:
    services = compose["services"].values()
    mounts = [mount.split(":")[0] for service in services for mount in service.get("volumes", [])]
    build = compose["services"]["logdet"]["build"]
    for path in [*mounts, build["dockerfile"]]:
        assert (ROOT / path).exists(), path


def test_prometheus_scrapes_the_service_once(compose: Any) -> None:
    (job,) = read_yaml(DEPLOY / "prometheus.yml")["scrape_configs"]
    targets = [target for static in job["static_configs"] for target in static["targets"]]
    assert targets == [f"logdet:{API_PORT}"]
    assert "logdet" in compose["services"]


def test_prometheus_finds_its_rules_where_the_compose_file_puts_them(compose: Any) -> None:
    names = read_yaml(DEPLOY / "prometheus.yml")["rule_files"]
    assert sorted(names) == ["alerts.yml", "recording.yml"]
    for name in names:
        mount = f"./deploy/{name}:/etc/prometheus/{name}:ro"
        assert mount in compose["services"]["prometheus"]["volumes"]


def test_direct_dependencies_are_pinned_alike_in_both_files(constraints: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for group in groups for line in group)]
    for line in wanted:
        name, version = re.match(r"([\w.-]+)(?:\[.*?\])?==([\w.]+)", line).groups()  # type: ignore[union-attr]
        if name == "onnxruntime":  # only where onnxruntime-gpu is not
            continue
        assert constraints[re.sub(r"[-_.]+", "-", name).lower()] == version, line


@pytest.mark.parametrize(
    "command",
    [
        ["docker", "compose", "-f", str(ROOT / "docker-compose.yml"), "config", "-q"],
    ],
    ids=["compose"],
)
def test_the_tools_accept_their_files(command: list[str]) -> None:
    tool = command[0]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    if (
        tool == "docker"
        and subprocess.run(["docker", "compose", "version"], check=False).returncode
    ):
        pytest.skip("docker has no compose command here")
    subprocess.run(command, check=True, timeout=60)
