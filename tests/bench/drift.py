"""What a request of one row pays for being seen by the sketch of drift.

``python -m tests.bench.drift`` prints it beside the time that its run takes in this process.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from pathlib import Path

import exported
from service.drift.windows import BLOCK_ROWS
from service.model import Model
from service.runtime import Runtime
from tests.watched import calibrated, taken

SHUTTLE = Path(exported.__file__).parent / "bundles" / "shuttle" / "1"
KNOWN_ROWS, REPEATS = 2_279, 20


def main() -> None:
    """Print the smallest of several times, microseconds a row."""
    model = Model.load(SHUTTLE, Runtime.choose("cpu", sessions=1))
    rows = model.sample(KNOWN_ROWS, seed=0).rows.x
    seen = model.evaluate(rows)
    sketch = calibrated(model, seen)
    each = [taken(seen, slice(i, i + 1)) for i in range(BLOCK_ROWS)]

    def feed() -> None:
        for one in each:
            sketch.saw(one.log_prob, one.z, one.status)

    def run() -> None:
        for i in range(BLOCK_ROWS):
            model.evaluate(rows[i : i + 1])

    fed, ran = microseconds(feed), microseconds(run)
    print(f"seen {fed:.2f} us, run {ran:.1f} us, ratio {fed / ran:.4f}")  # noqa: T201


def microseconds(work: Callable[[], None]) -> float:
    """Of a processor, for one row."""
    return (
        min(timeit.repeat(work, timer=time.thread_time, number=1, repeat=REPEATS))
        / BLOCK_ROWS
        * 1e6
    )


if __name__ == "__main__":
    main()
