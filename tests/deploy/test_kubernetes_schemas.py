"""Every document of every overlay is what Kubernetes, KubeRay and the operators take."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy.manifests import BASE, OVERLAYS, ROOT, Document, documents, of_kind, pods

CUSTOM = yaml.safe_load(Path(__file__).with_name("custom_kinds.yaml").read_text())
RAY_SERVICE = ROOT.parent / "shared" / "kuberay" / "rayservice-v1.schema.json"


def validate(document: Any) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", [BASE, *OVERLAYS])
def test_every_document_is_valid(name: str) -> None:
    found = documents(name)
    assert found
    for document in found:
        if document["kind"] in CUSTOM:
            jsonschema.Draft202012Validator(CUSTOM[document["kind"]]).validate(document)
        else:
            validate(document)


@pytest.mark.parametrize("name", [BASE, *OVERLAYS])
def test_every_template_makes_a_pod(name: str) -> None:
    for template in pods(documents(name)):
        metadata = {**template["metadata"], "name": "pod"}
        validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        )


@pytest.mark.parametrize("name", [BASE, "cpu", "gpu", "redis", "bucket", "dev"])
def test_the_ray_service_follows_the_operators_schema(name: str) -> None:
    if not RAY_SERVICE.exists():
        pytest.skip("the operator's schema is not beside this checkout")
    schema = json.loads(RAY_SERVICE.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(of_kind(documents(name), "RayService"))


def test_no_two_documents_of_an_overlay_have_one_name() -> None:
    for name in OVERLAYS:
        named = [(d["kind"], d["metadata"]["name"]) for d in documents(name)]
        assert len(set(named)) == len(named), name


def _base() -> Document:
    return copy.deepcopy(of_kind(documents(BASE), "RayService"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "upgradeStrategy", "type"], "newcluster"),
        (["spec", "rayClusterConfig", "authOptions", "mode"], "disabled"),
        (["spec", "rayClusterConfig", "enableAutoscaling"], True),
        (["spec", "rayClusterConfig", "workerGroupSpecs", 0, "minReplicas"], "2"),
        (["spec", "rayClusterConfig", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
    ],
    ids=lambda given: ".".join(map(str, given)) if isinstance(given, list) else str(given),
)
def test_mistakes_are_found(path: list[Any], value: Any) -> None:
    document = _base()
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(CUSTOM["RayService"]).validate(document)
