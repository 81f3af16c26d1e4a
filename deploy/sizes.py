"""How large the images are: the packages that their lock files name, installed and added up.

    python -m deploy.sizes > docs/tables/images.md

The image of Python below them and the project itself come to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

LOCKS = Path(__file__).with_name("locks")
NAMES = ("service-cpu", "service-cuda", "train-cpu", "train-cuda")
LARGEST = 4
MB = 1e6
HEADER = """# Packages of the images

`make image-sizes` installs what each lock file names, with compiled bytecode, and adds up the
files. The image of Python below and the project itself come to it.

| lock file | packages | MB | largest |
|---|--:|--:|---|
"""


def row(name: str) -> str:
    """A line of the table for a lock file, which is installed for it."""
    with tempfile.TemporaryDirectory(prefix="sizes-") as folder:
        _install(LOCKS / f"{name}.txt", folder)
        sizes = {dist.name: size(dist) for dist in distributions(path=[folder])}
        total = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    largest = sorted(sizes, key=lambda one: -sizes[one])[:LARGEST]
    told = ", ".join(f"{one} {sizes[one] / MB:,.0f}" for one in largest)
    return f"| `{name}` | {len(sizes)} | {total / MB:,.0f} | {told} |\n"


def size(dist: Distribution) -> int:
    """Bytes of the files that a package has installed."""
    located = (Path(str(file.locate())) for file in dist.files or ())
    return sum(path.stat().st_size for path in located if path.is_file())


def _install(lock: Path, folder: str) -> None:
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    how = ["--no-cache", "--no-deps", "--no-build", "--require-hashes", "--compile-bytecode"]
    where = ["--python", sys.executable, "--target", folder]
    subprocess.run(  # noqa: S603 - a pinned tool, with arguments of our own
        [uv, "pip", "install", "--quiet", *how, *where, "-r", lock],
        check=True,
        env=os.environ if lock.stem.endswith("cpu") else _without_other_indexes(),
    )


def _without_other_indexes() -> dict[str, str]:
    """The environment without what names torch's builds for a CPU; ``make lock`` does the same."""
    return {k: v for k, v in os.environ.items() if k not in ("UV_INDEX", "UV_FIND_LINKS")}


def main() -> None:
    """The table, to standard output."""
    sys.stdout.write(HEADER)
    for name in NAMES:
        sys.stdout.write(row(name))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
