"""What was measured, a line of JSON each, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Which measurement.

    Attributes:
        server: Name of what was measured.
        kind: Of the body, or the outputs of a call in process.
        rows: Of a request.
        in_flight: Requests under way at any time.
    """

    server: str
    kind: str
    rows: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One phase of load.

    Attributes:
        requests: That were measured.
        requests_s: A second.
        p50_ms: Median time of a request.
        p99_ms: 99th percentile.
        cpu_ms: User and system time of all of the server's processes, a request.
        client_cpu_ms: The load generator's, a request.
        other_cores: Cores that neither of them kept busy and that were.
    """

    requests: int
    requests_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    client_cpu_ms: float
    other_cores: float


@dataclass(frozen=True, slots=True)
class Cell:
    """A measurement of one round; ``figures`` is None and ``failure`` says why if it failed.

    Attributes:
        source: Digest of the graph and the code that were measured; others are measured again.
        seconds: That a phase was meant to take.
        round: From 1.
        place: Which.
        figures: What was measured.
        failure: Why nothing was.
    """

    source: str
    seconds: float
    round: int
    place: Place
    figures: Figures | None
    failure: str = ""


class Record:
    """The measurements of one source in a file.

    Args:
        path: Of the file; need not be there.
        source: Digest of what is measured.
        seconds: Of a phase.
    """

    def __init__(self, path: Path, source: str, seconds: float) -> None:
        self._path, self._source, self._seconds = path, source, seconds
        lines = path.read_text().splitlines() if path.is_file() else []
        cells = [_parsed(line) for line in lines if line]
        ours = [cell for cell in cells if (cell.source, cell.seconds) == (source, seconds)]
        # Of two of one round the later counts: what failed is measured again.
        self._cells = {(cell.round, cell.place): cell for cell in ours}

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return list(self._cells.values())

    def missing(self, round_: int, places: Iterable[Place]) -> list[Place]:
        """Those that this round has no figures of."""
        return [place for place in places if not self._has(round_, place)]

    def _has(self, round_: int, place: Place) -> bool:
        found = self._cells.get((round_, place))
        return found is not None and found.figures is not None

    def add(self, round_: int, place: Place, outcome: Figures | str) -> None:
        """Keep figures, or the reason why there are none."""
        figures, failure = (None, outcome) if isinstance(outcome, str) else (outcome, "")
        cell = Cell(self._source, self._seconds, round_, place, figures, failure)
        self._cells[round_, place] = cell
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(cell)) + "\n")


def _parsed(line: str) -> Cell:
    fields = json.loads(line)
    figures = fields["figures"]
    return Cell(
        source=fields["source"],
        seconds=fields["seconds"],
        round=fields["round"],
        place=Place(**fields["place"]),
        figures=None if figures is None else Figures(**figures),
        failure=fields["failure"],
    )
