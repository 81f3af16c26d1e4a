"""The commands of docs/scores.md are answered, once the shipped bundle has the scores."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from exported.bundle import read_manifest
from tests import pages
from tests.engines import ROOT

PAGE = "scores.md"
NAMED = ("log_prob", "typicality", "latent_norm", "combined")


def test_the_page_names_every_score() -> None:
    text = (ROOT / "docs" / PAGE).read_text()
    for name in (*NAMED, "likelihood_ratio"):
        assert f"\n| `{name}` |" in text


def test_the_commands_of_the_page_are_answered(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    if not read_manifest(ROOT / "exported" / "bundles" / "shuttle" / "1").calibration.scores:
        pytest.skip("the shipped bundle was exported before there were other scores")
    printed = pages.output(PAGE, tmp_path)
    by, every = map(json.loads, printed.splitlines()[:2])
    assert by["by"] == "typicality"
    assert by["is_anomaly"] == [False, None, True]
    assert by["score"][0] > by["score"][2]
    assert {name for name in every if name.endswith("_p_value")} == {f"{n}_p_value" for n in NAMED}
    assert re.search(r"^mean combined +-\d", printed, re.MULTILINE)
