"""Rounds of measurements, every server once a round, so that all see the machine's moods."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import in_process, phase
from tests.bench.asking import WrongAnswerError, checked_size
from tests.bench.cells import Figures, Place, Record
from tests.bench.processes import Tree
from tests.bench.servers import ROWS, Server

READY_S, PAUSE_S = 120.0, 0.5
SETTLE_S = 2.0  # in which a server that just answered first is done with starting


@dataclass(frozen=True, slots=True)
class Bench:
    """What all phases share.

    Attributes:
        graph: ONNX file that every server runs.
        record: Where figures are kept.
        seconds: Of a phase.
        logs: Folder of what servers print.
    """

    graph: Path
    record: Record
    seconds: float
    logs: Path

    def run(self, round_: int, servers: Iterable[Server]) -> None:
        """Measure what this round has not."""
        self._in_process(round_)
        for server in servers:
            missing = self.record.missing(round_, server.places())
            if missing:
                self._under_load(round_, server, missing)

    def _in_process(self, round_: int) -> None:
        kinds = in_process.OUTPUTS
        places = [Place(in_process.NAME, kind, rows, 1) for kind in kinds for rows in ROWS]
        for place in self.record.missing(round_, places):
            figures = in_process.measure(self.graph, place.kind, place.rows, self.seconds)
            self._keep(round_, place, figures)

    def _under_load(self, round_: int, server: Server, places: Sequence[Place]) -> None:
        log = self.logs / f"{server.name.replace(' ', '_').replace(',', '')}.log"
        tree = Tree(server.command, server.whole_environ(), log, server.folder)
        try:
            self._wait(server, tree)
            for place in places:
                self._keep(round_, place, self._measured(tree, server, place))
        except TimeoutError as error:
            for place in places:
                self._keep(round_, place, str(error))
        finally:
            tree.stop()

    def _wait(self, server: Server, tree: Tree) -> None:
        begun = time.monotonic()
        expected, reason = in_process.expected(self.graph, 1), "it ended"
        waiting = list(server.endpoints)
        while waiting and not tree.ended:
            try:
                checked_size(waiting[0], 1, expected)
                waiting.pop(0)
            except WrongAnswerError as error:
                reason = str(error)
                if time.monotonic() > begun + READY_S:
                    break
                time.sleep(PAUSE_S)
        if waiting:
            raise TimeoutError(f"{server.name} did not start: {reason}")
        time.sleep(SETTLE_S)

    def _measured(self, tree: Tree, server: Server, place: Place) -> Figures | str:
        endpoint = next(one for one in server.endpoints if one.kind == place.kind)
        expected = in_process.expected(self.graph, place.rows)
        load = place.rows, place.in_flight
        try:
            return phase.measure(tree, endpoint, *load, expected, self.seconds)
        except phase.PhaseError as error:
            return str(error)

    def _keep(self, round_: int, place: Place, outcome: Figures | str) -> None:
        self.record.add(round_, place, outcome)
        what = f"{round_} {place.server}, {place.kind}, {place.rows} rows x {place.in_flight}"
        if isinstance(outcome, str):
            say(f"{what}: FAILED, {outcome}")
        else:
            say(
                f"{what}: {outcome.requests_s:.0f} requests/s, p50 {outcome.p50_ms:.2f} ms, "
                f"p99 {outcome.p99_ms:.2f} ms, CPU {outcome.cpu_ms:.3f} ms"
            )


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
