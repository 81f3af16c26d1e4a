from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from logdet.cli import main
from logdet.files import write_table
from tests.bundles import NAMES, ordinary_rows, write_gaussian
from tests.terminal import Run


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """A root with two versions of a Gaussian."""
    root = tmp_path / "bundles"
    write_gaussian(root, version=1)
    write_gaussian(root, version=2)
    return root


@pytest.fixture
def run(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, its bundles those of the fixture."""
    monkeypatch.setenv("LOGDET_BUNDLES", str(bundles))

    def invoke(*args: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)

    return invoke


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    """200 ordinary rows, in another order of columns, with a column that no model knows."""
    x = ordinary_rows(200)
    columns = {name: x[:, j] for j, name in reversed(list(enumerate(NAMES)))}
    path = tmp_path / "rows.csv"
    write_table(path, {"tag": [f"r{i:03}" for i in range(len(x))]} | columns)
    return path


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses, which are not slept."""
    taken: list[float] = []

    async def asleep(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr("logdet.client.client.time.sleep", taken.append)
    monkeypatch.setattr("logdet.client.client.asyncio.sleep", asleep)
    return taken
