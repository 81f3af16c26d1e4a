"""What is told of the packages that a service is made of."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def audit(folder: Path, errors: str, status: int) -> subprocess.CompletedProcess[str]:
    """The audit with another auditor, which says this and ends so."""
    stub = folder / "python"
    stub.write_text(f"#!/bin/sh\necho found\necho '{errors}' >&2\nexit {status}\n")
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    return subprocess.run(
        [ROOT / ".ci" / "audit"],
        env=os.environ | {"PYTHON": str(stub)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("errors", "status", "expected"),
    [
        ("No known vulnerabilities found", 0, 0),
        ("Found 1 known vulnerability in 1 package", 1, 1),
        ("requests.exceptions.ConnectionError: no route", 1, 0),
        ("ValueError: ConnectionError is only mentioned", 1, 1),
        ("pip_audit._service.interface.ServiceError: 500", 1, 1),
    ],
)
def test_the_audit_passes_unseen_only_where_nobody_can_be_asked(
    tmp_path: Path, errors: str, status: int, expected: int
) -> None:
    done = audit(tmp_path, errors, status)
    assert done.returncode == expected
    assert ("NOT DONE" in done.stderr) == (status != expected)


def test_what_serves_is_told_from_what_trains_and_tests(sbom: Any) -> None:
    names = sbom.needed("logdet", sbom.EXTRAS, set())
    assert {"logdet", "numpy", "starlette", "grpcio", "ray", "httptools", "anyio"} <= names
    assert not {"torch", "onnx", "pytest", "ruff", "bandit", "matplotlib"} & names


@pytest.mark.slow
def test_the_bill_of_materials_has_what_serves_and_nothing_else() -> None:
    subprocess.run([sys.executable, ROOT / ".ci" / "sbom.py"], check=True, timeout=240)
    document = json.loads((ROOT / "dist" / "sbom.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    found = {re.sub(r"[-_.]+", "-", c["name"]).lower(): c for c in document["components"]}
    assert {"numpy", "starlette", "grpcio", "ray", "httptools", "anyio"} <= found.keys()
    assert not {"torch", "onnx", "pytest", "ruff", "bandit", "matplotlib"} & found.keys()
    assert all(component.get("version") for component in found.values())
    refs = {component["bom-ref"] for component in document["components"]}
    for entry in document["dependencies"]:
        assert set(entry["dependsOn"]) <= refs


def test_the_scanners_are_pinned_and_called() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.split("==")[0] for line in project["optional-dependencies"]["dev"]}
    assert {"bandit", "pip-audit", "cyclonedx-bom"} <= pinned
    makefile, run = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    assert "-m bandit" in makefile
    assert "make audit" in run
