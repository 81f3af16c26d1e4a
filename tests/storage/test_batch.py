"""``logdet score`` on Ray Data, from a bucket into a bucket."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from logdet.batch import command, pieces
from service import ray_job
from tests.bundles import NAMES, ordinary_rows
from tests.storage.servers import ROOT, Store
from tests.terminal import Run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Work is done in this process; what was done."""
    done: list[Any] = []

    def in_turn(
        crew: object, make: Any, arguments: Sequence[Any], items: Sequence[Any]
    ) -> Iterator[dict[str, Any]]:
        worker = make(*arguments)
        for item in items:
            done.append(item)
            yield worker(item)

    monkeypatch.setattr(command, "_crew", lambda given: nullcontext())
    monkeypatch.setattr(ray_job, "done", in_turn)
    return done


@pytest.fixture
def rows(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    """A Parquet file of three pieces, and one of CSV, in the bucket."""
    monkeypatch.setattr(pieces, "PIECE_ROWS", 200)
    x = ordinary_rows(500)
    x[::50, :2] += 40.0
    table = pa.table({"key": np.arange(500), **dict(zip(NAMES, x.T, strict=True))})
    with bucket.files.open_output_stream(f"{bucket.base}/rows/2026/a.parquet") as stream:
        parquet.write_table(table, stream, row_group_size=101)
    with bucket.files.open_output_stream(f"{bucket.base}/rows/2026/b.csv") as stream:
        arrow_csv.write_csv(table, stream)
    return table


def scored(bucket: Store) -> pa.Table:
    names = sorted(
        n for n in bucket.names() if n.startswith("scores/2026/a") and n.endswith("parquet")
    )
    return pa.concat_tables(
        parquet.read_table(f"{bucket.base}/{name}", filesystem=bucket.files) for name in names
    )


@pytest.mark.parametrize("more", [(), ("--fdr", "0.1")])
def test_a_job_reads_a_bucket_and_writes_it(
    run: Run, bucket: Store, rows: pa.Table, here: list[Any], more: tuple[str, ...], tmp_path: Path
) -> None:
    asked = ("score", "gauss", bucket.at("rows/*/*"), "-o", bucket.at("scores"), *more)
    done = run(*asked)
    assert done.exit_code == 0, done.stderr
    assert "scored 1,000 rows of 2 files into s3://" in done.stdout
    assert "endpoint_override" not in done.stdout
    made = {name for name in bucket.names() if name.startswith("scores/")}
    assert {name for name in made if "_logdet" not in name} == {
        "scores/2026/a-00000.parquet",
        "scores/2026/a-00001.parquet",
        "scores/2026/a-00002.parquet",
        "scores/2026/b.csv",
    }
    assert not [name for name in made if name.endswith(".part")]
    source, output = tmp_path / "a.parquet", tmp_path / "out.parquet"
    parquet.write_table(rows, source)
    if not more:
        assert run("score", "gauss", source, "-o", output).exit_code == 0
        assert scored(bucket).equals(parquet.read_table(output))
    count = len(here)
    again = run(*asked)
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert len(here) == count


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("s3://nobodys-bucket/rows/*.csv", "bucket does not exist"),
        ("s3://key:hidden@bucket/rows.csv", "without a password"),
    ],
)
def test_a_bucket_that_cannot_be_read_is_one_sentence(
    run: Run, bucket: Store, wrong: str, said: str
) -> None:
    options = bucket.address.partition("?")[2]
    refused = run("score", "gauss", f"{wrong}?{options}", "-o", bucket.at("scores"))
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert "hidden" not in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.serve
def test_workers_of_ray_reach_the_bucket(bucket: Store, rows: pa.Table, root: Path) -> None:
    """As a process of its own, as Ray reads its environment once."""
    asked = ["score", "gauss", bucket.at("rows/*/*"), "-o", bucket.at("scores"), "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "logdet", *asked, "--bundles", str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "scored 1,000 rows of 2 files" in done.stdout
    assert (
        len(parquet.read_table(f"{bucket.base}/scores/2026/a.parquet", filesystem=bucket.files))
        == 500
    )
