"""``make bench``: the service on both engines under load, beside its limits.

``python -m tests.bench.run --folder FOLDER --out docs/tables`` measures what the file of partial
results has not, and writes the page. FOLDER holds the flow of :mod:`tests.bench.flow`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import network
from tests.bench import flow, load, page, source
from tests.bench.cells import Record
from tests.bench.medians import Medians
from tests.bench.rounds import Bench, say
from tests.bench.servers import Server, ours_and_limits

ROUNDS, SECONDS = 3, 3.0
IN_PRIVATE = "LOGDET_BENCH_IN_PRIVATE_NETWORK"
NO_NETWORK = (
    "Not measured: {}. They bind every interface, and no network of their own can be made here "
    "(`unshare --map-root-user --net`)."
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says.

    Attributes:
        folder: Of the flow, and of logs.
        out: Folder of the page and of the partial results.
        rounds: How often everything is measured.
        seconds: Of a phase.
        only: Names of the servers to measure, all if empty; the page has what there is.
    """

    folder: Path
    out: Path
    rounds: int
    seconds: float
    only: Sequence[str]


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments that every bench has, beside those that the parser knows."""
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--only", action="append", default=[], metavar="SERVER")
    return parser.parse_args()


def enter_private_network() -> bool:
    """Begin this process again in a network of its own; False where none can be made."""
    is_private = IN_PRIVATE in os.environ
    if not is_private and network.can_be_made():
        command = network.inside([sys.executable, "-m", *_module_and_arguments()])
        os.environ[IN_PRIVATE] = "1"
        os.execvp(command[0], command)  # noqa: S606 - ourselves
    return is_private


def _module_and_arguments() -> list[str]:
    spec = sys.modules["__main__"].__spec__
    return [spec.name if spec else __name__, *sys.argv[1:]]


def measurable(servers: Sequence[Server], is_private: bool) -> tuple[list[Server], list[str]]:
    """Those that may be started here, and why the others may not."""
    left_out = [one.name for one in servers if one.binds_everything and not is_private]
    notes = [NO_NETWORK.format(", ".join(left_out))] if left_out else []
    return [one for one in servers if one.name not in left_out], notes


def measure(chosen: Chosen) -> None:
    """Measure, and write the page after each round."""
    load.check_tool()
    is_private = enter_private_network()
    graph = flow.graph_in(chosen.folder).resolve()
    every = ours_and_limits(flow.bundles_in(chosen.folder).resolve(), graph)
    servers, notes = measurable(every, is_private)
    for note in notes:
        say(note)
    record = Record(chosen.out / "bench.jsonl", source.digest(graph), chosen.seconds)
    bench = Bench(graph, record, chosen.seconds, chosen.folder / "logs")
    for round_ in range(1, chosen.rounds + 1):
        bench.run(round_, [one for one in servers if not chosen.only or one.name in chosen.only])
        text = page.render(Medians(record.cells), round_, chosen.seconds, notes)
        (chosen.out / "bench.md").write_text(text)


def main() -> None:
    """Run from the command line."""
    given = parse(argparse.ArgumentParser(description=__doc__))
    try:
        measure(Chosen(**vars(given)))
    except load.LoadError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
