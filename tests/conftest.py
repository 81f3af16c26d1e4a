"""What several suites share: bundles to serve, and one start of Ray for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import ALLOWED, Running, on_ray
from tests.every_bundle import write_every


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_every(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def replicas(bundles: Path) -> Iterator[Running]:
    """The service on Ray Serve with two replicas."""
    with on_ray(bundles, ALLOWED) as running:
        yield running
