"""Requests that the OpenAPI document describes, and ones that it does not, made at random."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
# How wide a row is, and what a model offers, is the model's: the document cannot say it of all.
NOT_OF_THE_DOCUMENT = "positive_data_acceptance"
# They change what the other requests ask.
CHANGES = r"^/v2/repository/models/|^/v1/models/[^/]+/serve$"


@pytest.mark.parametrize("examples", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_no_answer_is_against_the_document(engine: str, tmp_path: Path, examples: int) -> None:
    """No server error, no status, type or body that it does not name, nothing wrong accepted."""
    command = [
        *(SCHEMATHESIS, "run", f"{engine}/openapi.json", "--no-color", "--seed", "1"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)),
        *("--checks", "all", "--exclude-checks", NOT_OF_THE_DOCUMENT),
        *("--exclude-path-regex", CHANGES),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    assert int(tested[1]) >= 39, done.stdout
