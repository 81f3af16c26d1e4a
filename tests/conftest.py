"""What several suites share: bundles to serve, and one start of Ray for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import write_gaussian
from tests.engines import ALLOWED, Running, on_ray
from tests.latents import write_autoencoder, write_vae
from tests.variants import write_conditional, write_ordered, write_stepped


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundles")
    write_gaussian(root, "gauss", 1)
    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "scorer", 1, operations=("log_prob", "score"))
    write_gaussian(root, "broken", 1, golden_offset=1.0)
    write_conditional(root, "given")
    write_stepped(root, "stepped")
    write_ordered(root, "ordered")
    write_vae(root, "vae")
    write_vae(root, "plain", has_depth=False)
    write_autoencoder(root, "auto")
    return root


@pytest.fixture(scope="session")
def replicas(bundles: Path) -> Iterator[Running]:
    """The service on Ray Serve with two replicas."""
    with on_ray(bundles, ALLOWED) as running:
        yield running
