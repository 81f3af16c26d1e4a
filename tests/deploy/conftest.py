"""What tests of several files of the deployment ask."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SBOM = Path(__file__).parents[2] / ".ci" / "sbom.py"


@pytest.fixture(scope="session")
def sbom() -> Any:
    """The program that tells what a service is made of, as a module."""
    spec = importlib.util.spec_from_file_location("sbom", SBOM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
