"""The commands of docs/curl.md, against the shipped bundles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import ROOT, embedded

PAGE = (ROOT / "docs" / "curl.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that the commands print, one after the other in one folder."""
    with embedded(ROOT / "exported" / "bundles") as running:
        script = "\n".join(BLOCKS).replace("http://127.0.0.1:8000", running.url)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=tmp_path_factory.mktemp("curl"),
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_is_answered(output: str) -> None:
    assert len(BLOCKS) >= 7
    assert output.count('"error"') == 1  # the one that the page shows
    assert "x-logdet-answer: {" in output
    assert '{"rows":3}' in output
    assert output.count("non_finite_input") >= 4  # in CSV twice, in a line, in Arrow
