"""One service per engine for the whole suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engines import embedded


@pytest.fixture(scope="session", params=["embedded", pytest.param("ray", marks=pytest.mark.serve)])
def engine(request: pytest.FixtureRequest, bundles: Path) -> Iterator[str]:
    """Base URL of a running service."""
    if request.param == "ray":
        yield request.getfixturevalue("replicas").url
        return
    with embedded(bundles) as running:
        yield running.url


@pytest.fixture(scope="session")
def api(engine: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=engine, timeout=60.0) as client:
        yield client
