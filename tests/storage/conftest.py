from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs as fs
import pytest
from click.testing import CliRunner

from logdet.cli import main
from tests.bundles import write_gaussian
from tests.storage.servers import ENVIRONMENT, Server, Store, s3_server
from tests.terminal import Run


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server for all tests; each has a bucket of its own."""
    with s3_server() as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two versions of a Gaussian on this machine."""
    for version in (1, 2):
        write_gaussian(tmp_path / "bundles", version=version)
    return tmp_path / "bundles"


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, its bundles those of the fixture."""
    monkeypatch.setenv("LOGDET_BUNDLES", str(root))
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty prefix: of a folder by its address, and of a bucket."""
    if request.param == "file":
        (tmp_path / "there").mkdir()
        return Store(f"file://{tmp_path}/there")
    return s3_store(request)


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Store:
    """An empty prefix of a bucket."""
    return s3_store(request)


def s3_store(request: pytest.FixtureRequest) -> Store:
    server: Server = request.getfixturevalue("server")
    name = f"b{abs(hash(request.node.nodeid)):x}"
    files, _ = fs.FileSystem.from_uri(server.address("x") + "&allow_bucket_creation=true")
    files.create_dir(name)
    return Store(server.address(f"{name}/models"))


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
