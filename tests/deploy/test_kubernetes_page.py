"""What docs/kubernetes.md has people create is what the manifests ask for."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.tokens import read_tokens
from tests.deploy.manifests import BASE, KUBERNETES, OVERLAYS, ROOT, Document, documents

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
# Every namespace has it.
OF_KUBERNETES = {("ConfigMap", "kube-root-ca.crt")}


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Document]:
    """What the commands of the page make, by kind and name."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    folder = tmp_path_factory.mktemp("page")
    script = "set -eu\n"
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"kubectl create (secret|configmap)", line):
                script += f"{line} --dry-run=client -o yaml\necho ---\n"
            elif re.match(r"(PROMETHEUS=|printf )", line):
                script += line + "\n"
    script += "".join(
        f"{line} --dry-run=client -o yaml\necho ---\n"
        for line in re.findall(r"`(kubectl create secret [^`]+)`", PAGE)
    )
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    made = [document for document in yaml.safe_load_all(done.stdout) if document]
    read_tokens(folder / "tokens")  # the service takes the file
    return {(document["kind"], document["metadata"]["name"]): document for document in made}


def asked(place: Any, kind: str = "") -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Kind, name and keys of every Secret and ConfigMap that a document wants to be there."""
    if isinstance(place, list):
        for entry in place:
            yield from asked(entry)
    elif isinstance(place, dict):
        for key, value in place.items():
            if key in ("secret", "secretKeyRef", "secretRef", "credentials"):
                yield "Secret", *_of(value)
            elif key in ("configMap", "configMapKeyRef", "configMapRef"):
                yield "ConfigMap", *_of(value)
            else:
                yield from asked(value)


def _of(value: Document) -> tuple[str, tuple[str, ...]]:
    keys = [item["key"] for item in value.get("items", [])]
    keys += [value["key"]] if "key" in value else []
    return value.get("name") or value["secretName"], tuple(keys)


@pytest.mark.parametrize("name", [BASE, *OVERLAYS])
def test_secrets_and_settings_that_are_asked_for_are_created(
    name: str, created: dict[tuple[str, str], Document]
) -> None:
    found = documents(name)
    own = {(d["kind"], d["metadata"]["name"]) for d in found}
    for kind, wanted, keys in asked(found):
        if (kind, wanted) in own | OF_KUBERNETES:
            continue
        data = created[kind, wanted]["data"]
        assert set(keys) <= data.keys(), (wanted, keys)


def test_prometheus_shows_a_token_that_the_service_knows(
    created: dict[tuple[str, str], Document],
) -> None:
    data = created["Secret", "logdet-tokens"]["data"]
    shown, known = (base64.b64decode(data[key]).decode() for key in ("prometheus", "tokens"))
    assert f"prometheus {shown}\n" in known


def test_the_page_names_every_overlay_and_nothing_that_is_not_there() -> None:
    named = set(re.findall(r"deploy/kubernetes/overlays/([\w-]+)", PAGE))
    there = {path.name for path in (KUBERNETES / "overlays").iterdir()}
    assert named <= there
    table = PAGE.partition("| overlay | is |")[2].partition("\n\n")[0]
    listed = re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE)))
    assert sorted(listed) == sorted(there)
    for path in re.findall(r"(?<![\w/])(deploy/[\w./-]+\w)", PAGE):
        assert (ROOT / path).exists(), path


def test_the_page_names_what_the_manifests_make() -> None:
    named = re.findall(r"^\| `(\w+)/([\w-]+)`", PAGE, re.MULTILINE)
    assert len(named) > 5
    made = {(d["kind"].lower(), d["metadata"]["name"]) for d in documents("cpu")}
    for kind, name in named:
        if kind == "service":  # KubeRay makes it
            continue
        assert any(k == kind and n.startswith(name.rstrip("-")) for k, n in made), (kind, name)


def test_folders_of_overlays_have_a_kustomization() -> None:
    for path in (KUBERNETES / "overlays").iterdir():
        assert Path(path / "kustomization.yaml").exists()
