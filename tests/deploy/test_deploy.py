"""The files that describe a deployment agree with the code and with each other."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from service.config import ServiceConfig
from service.door import refuse_undecided
from service.ray_profile import CLUSTER

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMA = ROOT.parent / "shared" / "kuberay" / "rayservice-v1.schema.json"
API_PORT = ServiceConfig.model_fields["port"].default


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def ray_service() -> Any:
    return read_yaml(DEPLOY / "kubernetes" / "rayservice.yaml")


@pytest.fixture(scope="module")
def compose() -> Any:
    return read_yaml(ROOT / "docker-compose.yml")


@pytest.fixture(scope="module")
def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def containers(ray_service: Any) -> list[Any]:
    cluster = ray_service["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [c for group in groups for c in group["template"]["spec"]["containers"]]


def serve_config(ray_service: Any) -> Any:
    return yaml.safe_load(ray_service["spec"]["serveConfigV2"])


def test_the_ray_service_follows_the_operators_schema(ray_service: Any) -> None:
    if not SCHEMA.exists():
        pytest.skip("the operator's schema is not beside this checkout")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator(schema).validate(ray_service)


def test_every_ray_container_has_the_environment_of_the_profile(ray_service: Any) -> None:
    for container in containers(ray_service):
        assert {e["name"]: e["value"] for e in container["env"]} == CLUSTER


def test_every_ray_container_shows_the_port_of_the_api(ray_service: Any) -> None:
    config = serve_config(ray_service)
    assert config["http_options"]["port"] == API_PORT
    assert config["applications"][0]["args"]["grpc_port"] == API_PORT + 1
    for container in containers(ray_service):
        assert {"name": "serve", "containerPort": API_PORT} in container["ports"]
        assert {"name": "grpc", "containerPort": API_PORT + 1} in container["ports"]


def test_every_ray_container_is_unprivileged_and_bounded(ray_service: Any) -> None:
    for container in containers(ray_service):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        assert {"livenessProbe", "readinessProbe"} <= container.keys()


def test_the_ray_version_of_the_cluster_is_the_pinned_one(
    ray_service: Any, constraints: dict[str, str]
) -> None:
    assert ray_service["spec"]["rayClusterConfig"]["rayVersion"] == constraints["ray"]


def test_the_one_application_of_the_cluster_can_be_imported_and_configured(
    ray_service: Any,
) -> None:
    (application,) = serve_config(ray_service)["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    ServiceConfig.model_validate(application["args"])


def test_who_may_ask_is_decided_in_every_file(ray_service: Any, compose: Any) -> None:
    (application,) = serve_config(ray_service)["applications"]
    refuse_undecided(ServiceConfig(host="0.0.0.0", **application["args"]))  # noqa: S104
    kserve = read_yaml(DEPLOY / "kserve" / "inferenceservice.yaml")
    (predictor,) = kserve["spec"]["predictor"]["containers"]
    given = {entry["name"]: entry["value"] for entry in predictor["env"]}
    for environ in (compose["services"]["logdet"]["environment"], given):
        refuse_undecided(ServiceConfig.from_environ(environ, host="0.0.0.0"))  # noqa: S104


def test_the_file_of_tokens_is_mounted_where_replicas_run(ray_service: Any) -> None:
    (application,) = serve_config(ray_service)["applications"]
    folder = str(Path(application["args"]["tokens_file"]).parent)
    cluster = ray_service["spec"]["rayClusterConfig"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        mounted = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        (volume,) = pod["volumes"]
        assert mounted == {volume["name"]: folder}
        assert volume["secret"]["secretName"] in (DEPLOY / "README.md").read_text()


def test_replicas_of_the_cluster_fit_its_workers(ray_service: Any) -> None:
    (application,) = serve_config(ray_service)["applications"]
    workers = ray_service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    cores = sum(
        g["replicas"] * int(g["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
        for g in workers
    )
    assert sum(d["num_replicas"] for d in application["deployments"]) <= cores


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
