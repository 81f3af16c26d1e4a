"""``python -m tests.bench.graphs.run``: measure, and write docs/tables/bench-graphs.md.

Exported graphs are kept in ``--work`` for as long as their sources stay the same, so that a second
run only measures.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from tests.bench.graphs import libraries, ours
from tests.bench.graphs.operators import Profile, profile
from tests.bench.graphs.page import FLOOR, Measured, render
from tests.bench.graphs.shelf import Shelf
from tests.bench.graphs.timing import Call, by_turns, run, run_in_place, session
from training.recipes import FAMILIES

PAGE = "bench-graphs.md"
BATCHES = (1, 64, 4096)
CHUNK_ROWS = 1024  # The service's, whose runs are cut so.
FLOWS = {"nsf": "logdet", "bare": "logdet without marginal splines"}
DIRECTIONS = ("log_prob", "decode")
CHUNKED = f"in runs of {CHUNK_ROWS:,}"


def graph_calls(shelf: Shelf, rows: int) -> dict[str, Call]:
    """Ours, their floor, and other libraries' graphs."""
    return _floors(shelf, rows) | _flows(shelf, rows) | _peers(shelf, rows)


def _floors(shelf: Shelf, rows: int) -> dict[str, Call]:
    floor = session(shelf.graph("floor", ours.floor_graph))
    calls = {FLOOR: run_in_place(floor, rows)}
    if rows > CHUNK_ROWS:
        calls[f"{FLOOR}, {CHUNKED}"] = run_in_place(floor, CHUNK_ROWS, rows // CHUNK_ROWS)
    return calls


def _flows(shelf: Shelf, rows: int) -> dict[str, Call]:
    calls: dict[str, Call] = {}
    for family, label in FLOWS.items():
        for direction in DIRECTIONS:
            name, graph = f"{label} {direction}", session(_ours(shelf, family, direction))
            calls[name] = run(graph, rows)
            if rows > CHUNK_ROWS:
                calls[f"{name}, {CHUNKED}"] = run(graph, rows, CHUNK_ROWS)
    for part in ("couplings", "ends"):
        content = shelf.graph(f"nsf_{part}", lambda part=part: ours.part_graph(part))
        calls[f"log_prob's {part} alone"] = run(session(content), rows)
    return calls


def _peers(shelf: Shelf, rows: int) -> dict[str, Call]:
    calls: dict[str, Call] = {}
    for library in filter(libraries.installed, libraries.MODULES):
        for direction in DIRECTIONS:
            name = f"{library} {direction}"
            content = shelf.graph(name, lambda l=library, d=direction: libraries.graph(l, d))
            if content:
                calls[f"{name}, ONNX"] = run(session(content), rows)
    return calls


def torch_calls(rows: int) -> dict[str, Call]:
    """Other libraries' flows in torch, as they come and compiled."""
    x = torch.randn(rows, ours.FEATURES, generator=torch.Generator().manual_seed(0))
    calls: dict[str, Call] = {}
    for library in filter(libraries.installed, libraries.MODULES):
        for direction in DIRECTIONS:
            flow = libraries.module(library, direction)
            calls[f"{library} {direction}, eager"] = lambda flow=flow: flow(x)
        compiled = libraries.compiled(library)
        calls[f"{library} {DIRECTIONS[0]}, compiled"] = lambda flow=compiled: flow(x)
    return calls


def profiles(shelf: Shelf) -> dict[str, dict[str, Profile]]:
    """Of every family, by direction."""
    return {
        family: {
            direction: profile(_ours(shelf, family, direction), CHUNK_ROWS)
            for direction in DIRECTIONS
        }
        for family in FAMILIES
    }


def _ours(shelf: Shelf, family: str, direction: str) -> bytes:
    _say(f"graph {family} {direction}")
    return shelf.graph(f"{family}_{direction}", lambda: ours.family_graph(family, direction))


def _say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%X')} {line}\n")
    sys.stdout.flush()


@torch.no_grad()
def measure(shelf: Shelf, rounds: int, seconds: float) -> Measured:
    """All cells and profiles."""
    found = {}
    for rows in BATCHES:
        calls = graph_calls(shelf, rows) | _first_call_made(torch_calls(rows))
        _say(f"{len(calls)} calls of {rows} rows, {rounds} rounds")
        found[rows] = by_turns(calls, rounds, seconds)
    return Measured(found, profiles(shelf), ours.parameters())


def _first_call_made(calls: dict[str, Call]) -> dict[str, Call]:
    """Without those that a compiler refuses."""
    made = {}
    for name, call in calls.items():
        _say(f"first call of {name}")
        try:
            call()
        except Exception as error:  # Whatever a compiler raises of another library's code.
            _say(f"{name} left out: {type(error).__name__}")
        else:
            made[name] = call
    return made


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    parser.add_argument("--work", type=Path, default=Path("build/bench-graphs"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="of each call in each round")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    measured = measure(Shelf(chosen.work), chosen.rounds, chosen.seconds)
    (chosen.out / PAGE).write_text(render(measured, chosen.rounds))
    _say(f"wrote {chosen.out / PAGE}")


if __name__ == "__main__":
    main()
