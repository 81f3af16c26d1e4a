"""Other model servers with the same graph: a folder that describes them, and their environments.

The folder has a ``servers.toml``: for each server its command, the variables it needs and its
endpoints, with ``{here}`` for the folder, ``{py}`` for a Python and ``{venvs}`` for the folder of
their environments. They load the graph that ``BENCH_MODEL`` names.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.asking import Endpoint
from tests.bench.servers import Server

# Which of the file are compared: the others are plain frameworks and floors.
PEERS = ("mlserver", "kserve", "bentoml", "litserve", "pytriton")
KINDS = {"v2-json": "JSON", "v2-binary": "binary", "grpc-v2": "gRPC", "rows-json": "x"}
# Further settings of those that batch: their commands' last arguments.
SWEEPS: Mapping[str, Sequence[Sequence[str]]] = {
    # most requests of a batch, seconds to wait
    "mlserver-inline-batch": (("64", "0.0005"), ("256", "0.005")),
    "litserve-batch": (("1", "64", "0.0005"), ("1", "64", "0.005")),
    # microseconds to wait; then instances
    "pytriton": (("200",), ("0", "2")),
}
_ARGUMENTS = {"mlserver-inline-batch": 2, "litserve-batch": 3, "pytriton": 0}


@dataclass(frozen=True, slots=True)
class Described:
    """The servers of a folder.

    Attributes:
        servers: That can be started.
        missing: Names of those whose environment is not there.
    """

    servers: list[Server]
    missing: list[str]


def described(folder: Path, venvs: Path, graph: Path) -> Described:
    """Read the folder.

    Args:
        folder: Holds ``servers.toml``.
        venvs: Holds the environments.
        graph: ONNX file that all serve.
    """
    words = {"here": str(folder), "py": sys.executable, "venvs": str(venvs)}
    specs = tomllib.loads((folder / "servers.toml").read_text())
    chosen = {name: spec for name, spec in specs.items() if name.split("-")[0] in PEERS}
    found = Described([], [])
    for name, spec in chosen.items():
        for title, command in _settings(name, [part.format(**words) for part in spec["cmd"]]):
            if Path(command[0]).exists():
                server = _server(title, command, spec, words, graph)
                found.servers.append(server)
            else:
                found.missing.append(title)
    return found


def _settings(name: str, command: list[str]) -> Iterator[tuple[str, list[str]]]:
    yield name, command
    kept = len(command) - _ARGUMENTS.get(name, 0)
    for arguments in SWEEPS.get(name, ()):
        yield f"{name} {' '.join(arguments)}", [*command[:kept], *arguments]


def _server(
    name: str, command: list[str], spec: dict[str, Any], words: dict[str, str], graph: Path
) -> Server:
    servers = str(Path(words["here"]) / "servers")
    own = {key: str(value).format(**words) for key, value in spec.get("env", {}).items()}
    threads = {"ORT_THREADS": "1", "PYTHONPATH": servers, "BENCH_MODEL": str(graph)}
    return Server(
        name,
        tuple(command),
        tuple(map(_endpoint, spec["endpoints"])),
        environ=threads | own,
        binds_everything=True,  # some of them do
        folder=Path(servers),
    )


def _endpoint(spec: dict[str, Any]) -> Endpoint:
    url = spec["url"].replace("grpc://", "http://")
    return Endpoint(KINDS[spec["body"]], url, spec.get("headers", {}))
