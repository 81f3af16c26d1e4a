"""The commands of docs/worked-example.md go from a CSV to an alarm, and say what it shows."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pages
from tests.engines import ROOT

PAGE = "worked-example.md"
PORT = 8000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands have run, with what they printed."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    folder = tmp_path_factory.mktemp("worked")
    commands = "\n".join(pages.blocks(PAGE, "sh")).replace(str(PORT), str(_free_port()), -1)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "printed").open("w") as printed, (folder / "said").open("w") as said:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", f"trap 'kill $(jobs -p)' EXIT\n{commands}"],
            cwd=folder,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=printed,
            stderr=said,
            timeout=580,
        )
    assert done.returncode == 0, (folder / "said").read_text()[-2000:]
    return folder


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _numbers(text: str) -> list[float]:
    return [float(word.replace(",", "")) for word in re.findall(r"-?\d[\d,]*\.?\d*", text)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_ends_in_an_alarm(folder: Path) -> None:
    printed = (folder / "printed").read_text()
    alpha, evaluated, drift = pages.blocks(PAGE, "text")
    assert printed.index("3000 rows, alarm: False") < printed.index("6000 rows, alarm: True")
    assert drift.splitlines()[:2] == ["3000 rows, alarm: False", "6000 rows, alarm: True"]
    assert re.search(r'^logdet_drift_alarm\{.*model="telemetry".*\} 1\.0$', printed, re.MULTILINE)
    # Training on another machine ends a little elsewhere.
    for shown in ("anomalies", "threshold"):
        (told,) = [line for line in alpha.splitlines() if line.startswith(shown)]
        found = next(line for line in printed.splitlines() if line.startswith(shown))
        assert _numbers(found)[0] == pytest.approx(_numbers(told)[0], rel=0.2)
    told, found = (
        next(line for line in text.splitlines() if line.startswith("log_prob  "))
        for text in (evaluated, printed)
    )
    assert _numbers(found)[0] == pytest.approx(_numbers(told)[0], abs=0.01)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_reports_tell_it(folder: Path) -> None:
    today, tomorrow = ((folder / f"{day}.html").read_text() for day in ("today", "tomorrow"))
    assert "rows are anomalies at fdr 0.1" in today
    assert '<section id="labels">' in today
    found = re.search(r"raise an alarm from row ([\d,]+) on", tomorrow)
    assert found is not None
    assert 3000 < int(found[1].replace(",", "")) <= 4000


def test_the_rule_is_that_of_the_file() -> None:
    (shown,) = pages.blocks(PAGE, "yaml")
    rules = (ROOT / "deploy" / "alerts.yml").read_text()
    condition = re.findall(r"^    (.*logdet_drift_.*)$", shown, re.MULTILINE)
    assert len(condition) == 3
    assert all(line in rules for line in condition)
