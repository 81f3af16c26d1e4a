"""What the manifests come to: the documents of each overlay, and what tests ask of them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE = "base"
_BOTH = ["gpu-bucket", "gpu-redis", "bucket-redis", "gpu-bucket-redis"]
MONITORED = ["cpu", "gpu", "redis", "bucket", *_BOTH]
SERVING = [*MONITORED, "dev"]
OVERLAYS = [*SERVING, "training", "kserve", "fill"]

Document = dict[str, Any]


def documents(name: str) -> list[Document]:
    """Those of an overlay as kubectl builds it, or the files of the base as they are written."""
    if name == BASE:
        return _written(KUBERNETES / BASE)
    if name == "fill":
        return list(yaml.safe_load_all((KUBERNETES / "fill.yaml").read_text()))
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which builds overlays, is not installed")
    return _built(ROOT / "deploy" / name if name == "kserve" else KUBERNETES / "overlays" / name)


def of_kind(found: list[Document], kind: str) -> Document:
    """The one document of a kind."""
    (one,) = [document for document in found if document["kind"] == kind]
    return one


def groups(ray_service: Document) -> list[Document]:
    """Head and groups of workers."""
    cluster = ray_service["spec"]["rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def worker(ray_service: Document) -> Document:
    """The only group of workers."""
    (one,) = ray_service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return dict(one)


def pods(found: list[Document]) -> list[Document]:
    """What pods of all documents are made from, those of a RayService with KubeRay's labels."""
    made = []
    for document in found:
        if document["kind"] == "RayService":
            made += [_labelled(group) for group in groups(document)]
        elif document["kind"] == "Pod":
            made.append({key: document[key] for key in ("metadata", "spec")})
        elif document["kind"] == "StatefulSet":
            made.append(document["spec"]["template"])
        elif document["kind"] == "CronJob":
            made.append(document["spec"]["jobTemplate"]["spec"]["template"])
        elif document["kind"] == "ServingRuntime":
            spec = {k: document["spec"][k] for k in ("containers", "volumes")}
            made.append({"metadata": {"labels": {}}, "spec": spec})
    return made


def container(pod: Document) -> Document:
    """The one that does the work."""
    (one,) = pod["spec"]["containers"]
    return dict(one)


def settings(found: list[Document]) -> dict[str, str]:
    """``LOGDET_`` variables that the ConfigMap gives to every pod."""
    return dict(of_kind(found, "ConfigMap")["data"])


def serve_config(ray_service: Document) -> Document:
    """What Ray Serve is told."""
    return dict(yaml.safe_load(ray_service["spec"]["serveConfigV2"]))


def deployment(ray_service: Document) -> Document:
    """The one deployment of the one application."""
    (application,) = serve_config(ray_service)["applications"]
    (one,) = application["deployments"]
    return dict(one)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector of ``matchLabels`` finds these labels."""
    assert selector.keys() <= {"matchLabels"}
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def _labelled(group: Document) -> Document:
    """A pod as KubeRay makes it: labels of its own, of which a template may change some."""
    kind = "worker" if "groupName" in group else "head"
    given = group["template"]["metadata"]["labels"]
    own = {"ray.io/node-type": kind, "ray.io/cluster": "logdet-x7k2p"}
    labels = {"app.kubernetes.io/name": "kuberay", "ray.io/is-ray-node": "yes", **given, **own}
    return {"metadata": {"labels": labels}, "spec": group["template"]["spec"]}


@functools.cache
def _built(folder: Path) -> list[Document]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def _written(folder: Path) -> list[Document]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[Document] = []
    for file in kustomization["resources"]:
        path = folder / file
        found += _written(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for made in kustomization.get("configMapGenerator", []):
        (file,) = made["envs"]
        lines = (folder / file).read_text().splitlines()
        data = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        name = {"name": made["name"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": data})
    return found
