"""A job over a large file beside onnxruntime alone: ``make bench-batch``, into docs/tables.

The limit is what as many processes as the job has workers reach with a session each, on rows that
are in memory as the graph takes them: before the job and after it, as machines are not steady.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime
import pyarrow
import ray

from tests.bench import rows
from tests.bench.in_process import one_thread
from tests.processes import family_of

WORKERS = 2
RUN_ROWS = 1024  # the fastest of 256 to 16,384 on the machine of the table
LIMIT_S = 8.0
SAMPLE_S = 0.25
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limit:
    """What onnxruntime alone reaches.

    Attributes:
        rate: Rows a second of all processes together.
        cpu_rate: Rows a second of processor time.
    """

    rate: float
    cpu_rate: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A command from start to end.

    Attributes:
        seconds: That it took.
        peak_bytes: Largest sum of its processes' memory (PSS, shared pages counted once).
        cpu_s: Processor time of all its processes, as last seen.
    """

    seconds: float
    peak_bytes: int
    cpu_s: float


T = TypeVar("T", Limit, Measured)


def limit(seconds: float = LIMIT_S) -> Limit:
    """Run the graph in :data:`WORKERS` processes at once."""
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        list(pool.map(_alone, [0.5] * WORKERS))  # started and warm
        found = list(pool.map(_alone, [seconds] * WORKERS))
    done = sum(count for count, _, _ in found)
    rate = sum(count / wall for count, wall, _ in found)
    return Limit(rate, done / sum(cpu for _, _, cpu in found))


def _alone(seconds: float) -> tuple[int, float, float]:
    """Rows, seconds and processor time of a session of one thread."""
    session = one_thread(rows.SHUTTLE / "log_prob.onnx")
    x = rows.drawn(RUN_ROWS * 64).astype(np.float32).reshape(64, RUN_ROWS, -1)
    begun, cpu, count = time.perf_counter(), time.process_time(), 0
    while (wall := time.perf_counter() - begun) < seconds:
        session.run(None, {"x": x[count // RUN_ROWS % 64]})
        count += RUN_ROWS
    return count, wall, time.process_time() - cpu


def job(source: Path, output: Path) -> Measured:
    """Score a file as a person would."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "logdet", "score", "shuttle", str(source)]
    command += ["-o", f"{output}/", "--workers", str(WORKERS)]
    begun, peak, cpu = time.perf_counter(), 0, {}
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            family = family_of(process.pid)
            peak = max(peak, sum(map(_pss, family)))
            cpu |= {pid: seconds for pid in family if (seconds := _cpu(pid))}
            time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"the job ended with {process.returncode}")
    return Measured(time.perf_counter() - begun, peak, sum(cpu.values()))


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * int(text.partition("Pss:")[2].split(maxsplit=1)[0]) if "Pss:" in text else 0


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100  # clock ticks are hundredths on Linux


def told(found: T) -> T:
    """Say what was measured, at once."""
    print(found, flush=True)  # noqa: T201
    return found


def page(count: int, limits: Sequence[Limit], small: Measured, large: Measured) -> str:
    """The table, as Markdown."""
    rate = statistics.mean(one.rate for one in limits)
    cpu_rate = statistics.mean(one.cpu_rate for one in limits)
    working = large.seconds - small.seconds
    lines = [
        "# Scoring a file larger than memory",
        "",
        f"`make bench-batch`: {count:,} rows of 9 features and a key in one Parquet file, by the "
        f"bundle shuttle, {WORKERS} workers. onnxruntime alone: {WORKERS} processes, a session of "
        f"one thread each, runs of {RUN_ROWS:,} rows that are in memory as float32; the mean of a "
        "run before the job and one after it.",
        "",
        f"{_machine()}; Python {platform.python_version()}, onnxruntime "
        f"{onnxruntime.__version__}, Ray {ray.__version__}, pyarrow {pyarrow.__version__}.",
        "",
        "| | rows a second | rows a second of processor time |",
        "|---|--:|--:|",
        *(f"| onnxruntime alone | {one.rate:,.0f} | {one.cpu_rate:,.0f} |" for one in limits),
        f"| the job, without start and end | {count / working:,.0f} "
        f"| {count / (large.cpu_s - small.cpu_s):,.0f} |",
        f"| share of onnxruntime alone | {count / working / rate:.0%} "
        f"| {count / (large.cpu_s - small.cpu_s) / cpu_rate:.0%} |",
        f"| the job with start and end | {count / large.seconds:,.0f} "
        f"| {count / large.cpu_s:,.0f} |",
        f"| share of onnxruntime alone | {count / large.seconds / rate:.0%} "
        f"| {count / large.cpu_s / cpu_rate:.0%} |",
        "",
        f"The job took {large.seconds:.1f} s, a job of 1,000 rows {small.seconds:.1f} s, which is "
        "what start and end are taken to be. Memory of all its processes together (PSS: a page "
        f"that several share counts once, {SAMPLE_S:g} s between looks) was "
        f"{large.peak_bytes / MIB:,.0f} MiB at most.",
        "",
    ]
    return "\n".join(lines)


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def main() -> None:
    """Run from the command line."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rows", type=int, default=10_000_000)
    given.add_argument("--folder", type=Path, default=Path("build/bench"))
    given.add_argument("--out", type=Path, default=Path("docs/tables"))
    asked = given.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    small, large = asked.folder / "small.parquet", asked.folder / f"rows-{asked.rows}.parquet"
    for path, count in ((small, 1000), (large, asked.rows)):
        if not path.exists():
            rows.write(path, count)
    limits = [told(limit())]
    measured = [told(job(path, asked.folder / "scored")) for path in (small, large)]
    limits.append(told(limit()))
    (asked.out / "batch.md").write_text(page(asked.rows, limits, *measured))


if __name__ == "__main__":
    main()
