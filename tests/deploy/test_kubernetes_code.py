"""Names, ports, paths, settings and options in the manifests are those of the code."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.config import PREFIX, ServiceConfig
from service.core import Core
from service.door import refuse_undecided
from service.http.app import build_app
from service.http.door import is_open
from service.ray_profile import CLUSTER
from tests.bundles import write_gaussian
from tests.deploy.manifests import (
    BASE,
    ROOT,
    SERVING,
    Document,
    container,
    deployment,
    documents,
    groups,
    of_kind,
    pods,
    serve_config,
    settings,
    worker,
)

PORT = ServiceConfig.model_fields["port"].default
EVERYWHERE = [BASE, *SERVING]
WITH_ARGUMENTS = "base with arguments"
_UNITS = {"m": 1e-3, "": 1.0, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def amount(text: str) -> float:
    """Of a quantity like 500m or 2Gi."""
    number, unit = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


@pytest.fixture(params=EVERYWHERE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def found(name: str) -> list[Document]:
    return documents(name)


@pytest.fixture
def ray_service(found: list[Document]) -> Document:
    return of_kind(found, "RayService")


@pytest.fixture(scope="module")
def of_ray() -> dict[str, Any]:
    """What Ray makes of all of them (tests/deploy/on_ray.py), by name."""
    names = [name for name in EVERYWHERE if name == BASE or shutil.which("kubectl")]
    asked = {name: _asked(documents(name)) for name in names}
    asked[WITH_ARGUMENTS] = _asked(documents(BASE))
    asked[WITH_ARGUMENTS]["serve"]["applications"][0]["args"] = {"sessions": 7}
    done = subprocess.run(
        [sys.executable, "-m", "tests.deploy.on_ray"],
        input=json.dumps(list(asked.values())),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return {**told, "built": dict(zip(asked, told["built"], strict=True))}


def _asked(found: list[Document]) -> dict[str, Any]:
    serve = serve_config(of_kind(found, "RayService"))
    return {"serve": serve, "environ": settings(found)}


def environment(pod: Document) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(pod)["env"]}


def test_every_pod_has_the_environment_of_the_profile(found: list[Document]) -> None:
    for pod in pods([of_kind(found, "RayService")]):
        assert environment(pod) == CLUSTER


def test_every_pod_has_the_settings(found: list[Document], ray_service: Document) -> None:
    settings_of = of_kind(found, "ConfigMap")["metadata"]["name"]
    for pod in pods([ray_service]):
        named = [
            source.get("configMapRef", {}).get("name") for source in container(pod)["envFrom"]
        ]
        assert named[0] == settings_of


def test_settings_are_those_of_the_service_and_say_who_may_ask(found: list[Document]) -> None:
    given = settings(found)
    assert {key.removeprefix(PREFIX).lower() for key in given} <= ServiceConfig.model_fields.keys()
    refuse_undecided(ServiceConfig.from_environ(given, host="0.0.0.0"))  # noqa: S104


def test_the_application_is_built_from_the_settings_of_the_pods(
    name: str, found: list[Document], of_ray: dict[str, Any]
) -> None:
    built = of_ray["built"][name]
    assert built["application"] == of_ray["application"]
    assert [built["builds"]] == built["deployments"] == [of_ray["deployment"]]
    config = ServiceConfig.model_validate(built["settings"])
    (application,) = serve_config(of_kind(found, "RayService"))["applications"]
    given = {"host": "0.0.0.0", **application.get("args", {})}  # noqa: S104
    assert config == ServiceConfig.from_environ(settings(found), **given)
    assert (built["most_replicas"] is not None) == (name != "dev")


def test_arguments_of_the_application_go_before_the_environment(of_ray: dict[str, Any]) -> None:
    given = of_ray["built"][WITH_ARGUMENTS]["settings"]
    assert (given["sessions"], given["provider"]) == (7, "cpu")


def test_the_proxies_wait_as_those_of_the_command_do(
    ray_service: Document, of_ray: dict[str, Any]
) -> None:
    options = serve_config(ray_service)["http_options"]
    assert (options["host"], options["port"]) == ("0.0.0.0", PORT)  # noqa: S104
    limit = ServiceConfig.model_fields["request_timeout_s"].default
    assert options["request_timeout_s"] == limit + of_ray["patience_s"]
    assert options["keep_alive_timeout_s"] == of_ray["keep_alive_s"]
    # The old cluster of an upgrade stays until connections to it are done with.
    drain = ServiceConfig.model_fields["drain_timeout_s"].default
    assert ray_service["spec"]["rayClusterDeletionDelaySeconds"] > of_ray["keep_alive_s"] + drain


def test_overlays_tell_serve_another_thing_only_of_replicas() -> None:
    def rest(name: str) -> Any:
        config = serve_config(of_kind(documents(name), "RayService"))
        config["applications"][0].pop("deployments")
        config["applications"][0].pop("args", None)
        return config

    assert [rest(name) for name in SERVING] == [rest(BASE)] * len(SERVING)


def test_the_ray_of_the_cluster_is_the_pinned_one(ray_service: Document) -> None:
    version = ray_service["spec"]["rayClusterConfig"]["rayVersion"]
    assert f"ray=={version}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_ports_are_those_that_are_served(found: list[Document], ray_service: Document) -> None:
    grpc = int(settings(found)["LOGDET_GRPC_PORT"])
    assert grpc == PORT + 1
    served = {"serve": PORT, "serve-grpc": grpc}
    for pod in pods([ray_service]):
        ports = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
        assert served.items() <= ports.items()
    service = ray_service["spec"]["serveService"]["spec"]["ports"]
    assert {port["name"]: port["port"] for port in service} == served
    assert all(port["port"] == port["targetPort"] for port in service)


def test_replicas_fit_the_workers(ray_service: Document) -> None:
    group, wanted = worker(ray_service), deployment(ray_service)
    limits = container(group["template"])["resources"]["limits"]
    room = int(limits.get("nvidia.com/gpu", limits["cpu"]))
    assert ("nvidia.com/gpu" in limits) == bool(
        wanted.get("ray_actor_options", {}).get("num_gpus")
    )
    (application,) = serve_config(ray_service)["applications"]
    args = application.get("args", {})
    least = args.get("min_replicas", wanted.get("num_replicas"))
    most = args.get("max_replicas", wanted.get("num_replicas"))
    assert least <= room * group["minReplicas"]
    assert most <= room * group["maxReplicas"]


def test_a_gpu_is_asked_for_where_cuda_is_wanted(
    found: list[Document], ray_service: Document
) -> None:
    options = deployment(ray_service).get("ray_actor_options", {})
    assert (settings(found)["LOGDET_PROVIDER"] == "cuda") == (options.get("num_gpus", 0) > 0)
    image = container(worker(ray_service)["template"])["image"]
    assert image == ("logdet:cuda" if options.get("num_gpus") else "logdet:cpu")


def test_the_object_store_has_its_room_in_shared_memory(
    ray_service: Document, of_ray: dict[str, Any]
) -> None:
    for group in groups(ray_service):
        asked = int(group["rayStartParams"]["object-store-memory"])
        assert asked == of_ray["object_store_bytes"]
        volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
        shm = volumes["shm"]["emptyDir"]
        assert shm["medium"] == "Memory"
        limit = container(group["template"])["resources"]["limits"]["memory"]
        assert asked < amount(shm["sizeLimit"]) < amount(limit) / 2


def test_paths_that_probes_ask_are_open_and_answered(tmp_path: Path) -> None:
    write_gaussian(tmp_path)
    probes = [container(pod)["readinessProbe"]["httpGet"] for pod in every_worker()]
    assert {probe["port"] for probe in probes} == {PORT}
    codes = asyncio.run(answers(tmp_path, {probe["path"] for probe in probes}))
    assert set(codes.values()) == {200}
    assert all(is_open(path) for path in codes)


def every_worker() -> list[Document]:
    names = [name for name in EVERYWHERE if name == BASE or shutil.which("kubectl")]
    return [worker(of_kind(documents(name), "RayService"))["template"] for name in names]


async def answers(bundles: Path, paths: set[str]) -> dict[str, int]:
    """The status of each path."""
    core = Core(ServiceConfig(bundles=bundles, provider="cpu", sessions=1))
    await core.start()
    try:
        transport = httpx.ASGITransport(build_app(core))
        async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
            return {path: (await client.get(path)).status_code for path in paths}
    finally:
        await core.drain()


def test_paths_of_ray_that_probes_ask_need_no_token_of_ray(
    ray_service: Document, of_ray: dict[str, Any]
) -> None:
    for pod in pods([ray_service]):
        for probe in (
            container(pod)[key]["httpGet"] for key in ("livenessProbe", "readinessProbe")
        ):
            if probe["port"] != PORT:
                assert probe["port"] == 52365  # of Ray's agent, unless told otherwise
                assert probe["path"] in of_ray["public_paths"]


def test_a_pod_drains_by_a_command_that_ray_has(ray_service: Document) -> None:
    pod = worker(ray_service)["template"]["spec"]
    shell = container({"spec": pod})["lifecycle"]["preStop"]["exec"]["command"]
    assert shell[:2] == ["/bin/bash", "-c"]  # as the base image of ours has it
    options = re.findall(r"--[\w-]+", shell[2])
    ray = Path(sys.executable).with_name("ray")
    help_text = subprocess.run(
        [ray, "drain-node", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert set(options) <= set(re.findall(r"--[\w-]+", help_text))
    assert "DRAIN_NODE_REASON_PREEMPTION" in help_text
    seconds = int(re.search(r"--deadline-remaining-seconds (\d+)", shell[2])[1])  # type: ignore[index]
    assert shell[2].endswith(f"sleep {seconds}")
    drain = ServiceConfig.model_fields["drain_timeout_s"].default
    assert drain + 10 < seconds < pod["terminationGracePeriodSeconds"] - 20


def test_the_training_job_calls_the_command_as_it_is() -> None:
    from click.testing import CliRunner

    from logdet.cli import main

    (pod,) = pods(documents("training"))
    job = container(pod)
    assert job["command"] == ["logdet", "train"]
    options = [argument.partition("=")[0] for argument in job["args"] if argument[:2] == "--"]
    help_text = CliRunner().invoke(main, ["train", "--help"]).output
    assert all(re.search(rf"(^|[ ,]){option}\b", help_text, re.MULTILINE) for option in options)
    mounted = {mount["name"]: mount["mountPath"] for mount in job["volumeMounts"]}
    assert f"--out={mounted['bundles']}" in job["args"]
    # What is filled in, the page says how to give.
    variables = re.findall(r"\$\((\w+)\)", " ".join(job["args"]))
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    assert set(variables) == set(re.findall(r"--from-literal=([A-Z]+)=", page))


def test_images_are_those_that_are_built() -> None:
    text = "\n".join(
        path.read_text()
        for path in (ROOT / "deploy").rglob("*")
        if path.suffix in (".yaml", ".md")
    )
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    built = set(re.findall(r"-t (logdet\S*:\w+)", dockerfile))
    named = set(re.findall(r"image: (logdet\S*)", text))
    assert {name.partition(":")[0] for name in named} <= {name.partition(":")[0] for name in built}
    assert "logdet:cpu" in named & built
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert compose["services"]["logdet"]["image"] in named
