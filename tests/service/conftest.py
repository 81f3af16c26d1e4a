from __future__ import annotations

from pathlib import Path

import pytest

from service.config import ServiceConfig
from service.core import Core
from service.model import Model
from service.runtime import Runtime
from tests.bundles import write_gaussian
from tests.latents import write_autoencoder, write_vae
from tests.scored import write_scored
from tests.variants import write_ordered


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundles")
    write_gaussian(root)
    write_ordered(root)
    write_scored(root)
    write_vae(root)
    write_autoencoder(root)
    return root


@pytest.fixture(scope="session")
def model(root: Path) -> Model:
    return Model.load(root / "gauss" / "1", Runtime.choose("cpu", sessions=1))


@pytest.fixture
def core(root: Path) -> Core:
    """Loaded; its worker threads end with the interpreter."""
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=2, chunk_rows=64))
    core.load()
    return core
