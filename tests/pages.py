"""Commands of the pages in docs/, run as they stand against the shipped bundles."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.engines import ROOT, embedded

SERVICE = "http://127.0.0.1:8000"


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page of docs/ in a language."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def output(page: str, folder: Path) -> str:
    """All that the commands of a page print, one after the other.

    They run in a folder that holds the bundles where the root of the repository does.
    """
    (folder / "exported").symlink_to(ROOT / "exported")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with embedded(ROOT / "exported" / "bundles") as running:
        done = subprocess.run(
            [
                *("bash", "-e", "-o", "pipefail", "-c"),
                "\n".join(blocks(page, "sh")).replace(SERVICE, running.url),
            ],
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout
