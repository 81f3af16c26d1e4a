"""One service per engine for the whole suite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engines import ALLOWED, Running, embedded


@pytest.fixture(scope="session", params=["embedded", pytest.param("ray", marks=pytest.mark.serve)])
def running(request: pytest.FixtureRequest, bundles: Path) -> Iterator[Running]:
    """A running service."""
    if request.param == "ray":
        yield request.getfixturevalue("replicas")
        return
    with embedded(bundles, ALLOWED) as running:
        yield running


@pytest.fixture(scope="session")
def engine(running: Running) -> str:
    """Base URL of its HTTP API."""
    return running.url


@pytest.fixture(scope="session")
def grpc_engine(running: Running) -> str:
    """Address of its gRPC API, as its banner says."""
    found = re.search(r"gRPC on ([\d.:]+)", running.banner)
    assert found, running.banner
    return found[1]


@pytest.fixture(scope="session")
def api(engine: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=engine, timeout=60.0) as client:
        yield client
