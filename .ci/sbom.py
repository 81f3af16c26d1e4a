"""Writes what a service is made of: the installed packages that it needs, as CycloneDX JSON.

Everything installed is described by cyclonedx-bom, and what only training, pictures or tests need
is taken out. Nothing outside of this machine is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# Of the image; cuda's libraries are there on a machine with a GPU.
EXTRAS = frozenset({"", "ray", "tracing"})


def needed(name: str, extras: Iterable[str], found: set[tuple[str, str]]) -> set[str]:
    """Names of the installed packages that a package needs, however indirectly."""
    names: set[str] = set()
    for extra in extras:
        if (name, extra) in found:
            continue
        found.add((name, extra))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            return names
        names.add(canonicalize_name(name))
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                names |= needed(requirement.name, {"", *requirement.extras}, found)
    return names


def described() -> Any:  # noqa: ANN401 - a JSON document
    """Everything that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "all.json"
        subprocess.run(  # noqa: S603 - this interpreter, with fixed arguments
            [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable, "--pyproject",
             str(ROOT / "pyproject.toml"), "--output-reproducible", "-o", str(path)],
            check=True,
        )  # fmt: skip
        return json.loads(path.read_text())


def reduced(document: Any, names: set[str]) -> Any:  # noqa: ANN401 - JSON documents
    """The document with these components alone."""
    root = document["metadata"]["component"]["bom-ref"]
    kept = [c for c in document["components"] if canonicalize_name(c["name"]) in names]
    refs = {root, *(component["bom-ref"] for component in kept)}
    depending = [
        entry | {"dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in refs]}
        for entry in document["dependencies"]
        if entry["ref"] in refs
    ]
    return document | {"components": kept, "dependencies": depending}


def main() -> None:
    """Write ``dist/sbom.json``."""
    path = ROOT / "dist" / "sbom.json"
    path.parent.mkdir(exist_ok=True)
    document = reduced(described(), needed("logdet", EXTRAS, set()))
    path.write_text(json.dumps(document, indent=2) + "\n")
    sys.stdout.write(f"{path.relative_to(ROOT)}: {len(document['components'])} components\n")


if __name__ == "__main__":
    main()
