"""``make bench-peers PEERS=FOLDER``: ours and other model servers, the same graph, interleaved.

FOLDER is described in :mod:`tests.bench.peers`; without it there is nothing to do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench import flow, load, peers_page, source
from tests.bench.cells import Record
from tests.bench.medians import Medians
from tests.bench.peers import described
from tests.bench.rounds import Bench, say
from tests.bench.run import Chosen, enter_private_network, measurable, parse
from tests.bench.servers import embedded


def measure(peers: Path, venvs: Path, chosen: Chosen) -> None:
    """Measure, and write the page after each round."""
    load.check_tool()
    is_private = enter_private_network()
    graph = flow.graph_in(chosen.folder).resolve()
    found = described(peers.resolve(), venvs.resolve(), graph)
    ours = embedded(flow.bundles_in(chosen.folder).resolve(), more=["rows"])
    servers, notes = measurable([ours, *found.servers], is_private)
    if found.missing:
        notes.append(f"Not measured, for want of an environment: {', '.join(found.missing)}.")
    for note in notes:
        say(note)
    digest = source.digest(graph, *sorted(peers.rglob("*.py")), peers / "servers.toml")
    record = Record(chosen.out / "peers.jsonl", digest, chosen.seconds)
    bench = Bench(graph, record, chosen.seconds, chosen.folder / "logs")
    for round_ in range(1, chosen.rounds + 1):
        bench.run(round_, [one for one in servers if not chosen.only or one.name in chosen.only])
        text = peers_page.render(Medians(record.cells), round_, chosen.seconds, notes)
        (chosen.out / "peers.md").write_text(text)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--venvs", type=Path, required=True)
    given = vars(parse(parser))
    peers, venvs = given.pop("peers"), given.pop("venvs")
    if not (peers / "servers.toml").is_file():
        say("skipped: the folder of other servers has no servers.toml")
        return
    try:
        measure(peers, venvs, Chosen(**given))
    except load.LoadError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
