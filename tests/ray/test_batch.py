"""``logdet score NAME FILES -o FOLDER/`` on Ray Data: interrupted, and gone on with."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import exported
from logdet import Client
from logdet.batch.work import tally_name
from logdet.opening import open_model
from logdet.options import Reference
from service.model import Model
from tests.engines import embedded
from tests.processes import family_of, title

SHIPPED = Path(exported.__file__).parent / "bundles"
FILES, ROWS = 100, 4000
PATIENCE_S = 240


@dataclass(frozen=True, slots=True)
class Done:
    """A job that was interrupted and gone on with."""

    source: Path
    output: Path
    left: set[str]
    code: int
    kept: dict[str, int]
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("job")
    source, output = root / "rows", root / "out"
    _write_rows(source)
    asked = [sys.executable, "-m", "logdet", "score", "shuttle", str(source), "-o", f"{output}/"]
    asked += ["--workers", "1", "--bundles", str(SHIPPED)]
    first = subprocess.Popen(asked, stderr=subprocess.DEVNULL, text=True)
    family = _wait_for_pieces(first, output)
    first.send_signal(signal.SIGINT)
    code = first.wait(PATIENCE_S)
    left = {title(pid) for pid in family} - {""}
    # A piece is done when its tally is there, which is written after its rows.
    rows = [path for path in output.glob("*.parquet") if (output / tally_name(path.name)).exists()]
    kept = {path.name: path.stat().st_mtime_ns for path in rows}
    again = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return Done(source, output, left, code, kept, again.stdout, again.stderr)


def _write_rows(folder: Path) -> None:
    model = open_model(SHIPPED, Reference("shuttle", None), "cpu", "score")
    assert isinstance(model, Model)
    x = np.asarray(model.sample(ROWS, 0).rows.x, np.float64)
    names = [feature.name for feature in model.manifest.features]
    folder.mkdir()
    for number in range(FILES):
        turned = dict(zip(names, np.roll(x, 4 * number, axis=0).T, strict=True))
        key = np.arange(ROWS) + number * ROWS
        parquet.write_table(pa.table({"key": key} | turned), folder / f"{number:03}.parquet")


def _wait_for_pieces(job: "subprocess.Popen[str]", output: Path) -> set[int]:
    end = time.monotonic() + PATIENCE_S
    while not list(output.glob("_logdet/tallies/*.json")):
        assert job.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    return family_of(job.pid)


@pytest.mark.serve
def test_an_interrupted_job_ends_and_leaves_nothing_behind(done: Done) -> None:
    assert done.code == 130
    assert 0 < len(done.kept) < FILES
    assert not done.left


@pytest.mark.serve
def test_it_goes_on_where_it_was(done: Done) -> None:
    assert done.stderr == ""
    assert f"scored {FILES * ROWS:,} rows of {FILES} files into" in done.stdout
    names = {path.name for path in done.output.glob("*")}
    assert names == {"_logdet", *(f"{number:03}.parquet" for number in range(FILES))}
    now = {name: (done.output / name).stat().st_mtime_ns for name in done.kept}
    assert now == done.kept
    tallies = (done.output / "_logdet/tallies").glob("*.json")
    assert sum(json.loads(path.read_bytes())["rows"] for path in tallies) == FILES * ROWS


@pytest.mark.serve
def test_every_row_is_there_once_with_the_bits_of_the_service(done: Done) -> None:
    with embedded(SHIPPED) as running, Client(running.url) as client:
        for number in (0, 1, FILES - 1):
            name = f"{number:03}.parquet"
            given, scored = (
                parquet.read_table(done.source / name),
                parquet.read_table(done.output / name),
            )
            assert scored.select(given.column_names).equals(given)
            x = np.stack([column.to_numpy() for column in given.columns[1:]], axis=1)
            answer = client.score("shuttle", x)
            for column in ("log_prob", "p_value", "is_anomaly"):
                known = np.asarray(answer[column])
                np.testing.assert_array_equal(scored[column].to_numpy(), known)
