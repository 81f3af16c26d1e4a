"""What the clients saw of every fault: docs/tables/faults.md where ``FAULTS_TABLE`` names it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from tests.faults.steady import Told

FILE = "FAULTS_TABLE"
HEAD = """# Faults

`make test-faults` breaks one thing at a time under steady traffic and writes this table. Every
client sends some 40 requests a second on two connections and tries a request again once, after
0.1 s (`logdet.Client` its own four times as well, unless it says `retries=0`). Recovered in: from
the fault until no attempt fails any more. Gap: the longest time without an answer. No answer was
wrong.

"""
COLUMNS = (
    "fault", "where", "client", "sent", "failed at first", "failed twice", "recovered in s",
    "gap s", "why",
)  # fmt: skip


def tell(fault: str, where: str, told: dict[str, Told], at: float) -> None:
    """Print a line for each kind of client, and put them into the table where one is wanted.

    Args:
        fault: What was broken.
        where: On which engine or profile.
        told: What each kind of client saw.
        at: When it was broken, by :func:`time.monotonic`.
    """
    lines = [_line(fault, where, client, one, at) for client, one in told.items()]
    print("\n".join(lines))  # noqa: T201 - the figures of a test, shown when it is asked for
    if path := os.environ.get(FILE):
        _write(Path(path), lines)


def _line(fault: str, where: str, client: str, told: Told, at: float) -> str:
    cells = [
        fault,
        where,
        client,
        str(told.sent),
        str(len(told.first)),
        str(told.after.total()),
        f"{told.recovered_s(at):.1f}",
        f"{told.longest_gap_s():.1f}",
        _words(told.reasons()) or "-",
    ]
    return f"| {' | '.join(cells)} |"


def _words(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {why}" for why, count in reasons.most_common())


def _write(path: Path, lines: list[str]) -> None:
    before = path.read_text().splitlines() if path.exists() else []
    rows = {_key(line): line for line in before if line.startswith("| ")}
    rows = {key: line for key, line in rows.items() if key != COLUMNS[:3]}
    rows |= {_key(line): line for line in lines}
    titles = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|" + "--:|" * 5 + "---|"]
    path.write_text(HEAD + "\n".join([*titles, *rows.values()]) + "\n")


def _key(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.split("|")[1:4])
