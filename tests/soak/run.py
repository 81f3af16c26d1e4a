"""The long soak: ``python -m tests.soak.run --minutes 30``; a line a minute, and a table."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines import Running, embedded, on_ray
from tests.every_bundle import write_every
from tests.processes import named
from tests.soak.memory import growth, resident_mib
from tests.soak.questions import answered
from tests.soak.traffic import Tally, Traffic

LARGEST_GROWTH = 0.05
EVERY_S = 5.0
ENGINES: dict[str, Callable[[Path], AbstractContextManager[Running]]] = {
    "embedded": embedded,
    "ray": on_ray,
}
HEAD = """# Soak

`make soak MINUTES=30` (and `ENGINE=ray`): every operation of every kind of model by every
protocol, 1 to 20,000 rows, bad requests, clients that go away, pages, in one mix at a steady rate.
Every answer is compared with what the model gives in process when nobody else asks. Memory is
resident memory of the processes that answer; its growth is the median of the last fifth over that
of the first, after a fifth of the time for warming up.

"""
COLUMNS = (
    "engine", "minutes", "requests", "rows compared", "bad", "went away", "failed", "wrong",
    "MiB warm", "MiB at the end", "growth", "server CPU",
)  # fmt: skip


@dataclass(slots=True)
class Watched:
    """Processes that answer, as they are seen over the time.

    Attributes:
        engine: Which of the two.
        processes: By id.
        memory: MiB, one every :data:`EVERY_S`.
    """

    engine: str
    processes: list[int]
    begun: float = field(default_factory=time.monotonic)
    memory: list[float] = field(default_factory=list)

    def look(self) -> float:
        """Take a sample; the MiB."""
        self.memory.append(resident_mib(self.processes))
        return self.memory[-1]

    def cores(self) -> float:
        """Processors in use, on average since the processes began to be watched."""
        ticks = 0
        for pid in self.processes:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK") / (time.monotonic() - self.begun)


def main() -> int:
    """The command; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    parser.add_argument("--engine", choices=ENGINES, default="embedded")
    parser.add_argument(
        "--out", type=Path, help="file of the table; a row of its engine is renewed"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = write_every(Path(folder))
        questions = answered(root)
        with ENGINES[given.engine](root) as running:
            address = re.search(r"gRPC on ([\d.:]+)", running.banner)
            assert address, running.banner
            watched = Watched(given.engine, _answering(running.process.pid))
            requests = int(given.minutes * 60 * given.rate)
            traffic = Traffic(running.url, address[1], questions, requests, given.rate)
            with traffic:
                _follow(watched, traffic)
            row = _row(watched, traffic.tally)
    _say(row)
    if given.out is not None:
        _write(given.out, given.engine, row)
    return _verdict(watched, traffic.tally)


def _answering(pid: int) -> list[int]:
    """The process itself, or the replicas among those it started."""
    return named(pid, "ServeReplica") or [pid]


def _follow(watched: Watched, traffic: Traffic) -> None:
    told, reasons = time.monotonic(), 0
    while not traffic.is_over:
        now = watched.look()
        for reason in traffic.tally.reasons[reasons:]:
            reasons += 1
            _say(reason)
        if time.monotonic() - told >= 60.0:
            told += 60.0
            _say(f"{(told - watched.begun) / 60:.0f} min: {_counts(traffic.tally)}, {now:.1f} MiB")
        time.sleep(EVERY_S)


def _counts(tally: Tally) -> str:
    wrong, failed = sum(tally.wrong.values()), sum(tally.failed.values())
    return f"{sum(tally.sent.values())} requests, {failed} failed, {wrong} wrong"


def _row(watched: Watched, tally: Tally) -> str:
    warm = watched.memory[int(0.2 * len(watched.memory))]
    cells = [
        watched.engine,
        f"{(time.monotonic() - watched.begun) / 60:.0f}",
        f"{sum(tally.sent.values()):,}",
        f"{tally.rows:,}",
        f"{tally.sent['bad']:,}",
        f"{tally.sent['gone']:,}",
        f"{sum(tally.failed.values())}",
        f"{sum(tally.wrong.values())}",
        f"{warm:.1f}",
        f"{watched.memory[-1]:.1f}",
        f"{100 * growth(watched.memory):+.1f} %",
        f"{watched.cores():.2f} cores",
    ]
    return f"| {' | '.join(cells)} |"


def _write(path: Path, engine: str, row: str) -> None:
    before = path.read_text().splitlines() if path.exists() else []
    others = [line for line in before if line.startswith("| ") and not line.startswith("| engine")]
    kept = [line for line in others if not line.startswith(f"| {engine} |")]
    titles = [f"| {' | '.join(COLUMNS)} |", "|---|" + "--:|" * (len(COLUMNS) - 1)]
    path.write_text(HEAD + "\n".join([*titles, *sorted([*kept, row])]) + "\n")


def _verdict(watched: Watched, tally: Tally) -> int:
    grown = growth(watched.memory)
    if grown > LARGEST_GROWTH:
        _say(f"memory grew by {100 * grown:.1f} %, expected at most {100 * LARGEST_GROWTH:g} %")
    return int(bool(tally.wrong or tally.failed or grown > LARGEST_GROWTH))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
