"""A large file of rows: ``python -m tests.bench.rows ROWS FILE.parquet``.

Rows that the shipped bundle ``shuttle`` draws, over and over with another key each: what a row
costs does not depend on whether it was seen before.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

import exported
from exported.bundle import read_bundle
from service.kinds import load
from service.model import Model
from service.runtime import Runtime

SHUTTLE = Path(exported.__file__).parent / "bundles" / "shuttle" / "1"
GROUP_ROWS = 131_072


def drawn(count: int) -> NDArray[np.float64]:
    """Rows that the bundle draws, shape ``(count, 9)``."""
    model = load(SHUTTLE, Runtime.choose("cpu", 1))
    assert isinstance(model, Model)
    return np.asarray(model.sample(count, 0).rows.x, np.float64)


def write(path: Path, count: int) -> None:
    """So many rows with their number as ``key``, in row groups of :data:`GROUP_ROWS`."""
    x = drawn(min(count, GROUP_ROWS))
    names = [feature.name for feature in read_bundle(SHUTTLE).manifest.features]
    types = [("key", pa.int64()), *((name, pa.float64()) for name in names)]
    with parquet.ParquetWriter(path, pa.schema(types)) as writer:
        for start in range(0, count, len(x)):
            part = x[: min(len(x), count - start)]
            key = np.arange(start, start + len(part))
            columns = dict(zip(names, part.T, strict=True))
            writer.write_table(pa.table({"key": key} | columns), GROUP_ROWS)


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
