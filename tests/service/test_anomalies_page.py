"""The commands of docs/anomalies.md are answered as it says, and its figures hold."""

from __future__ import annotations

import json
import math
import re
import shutil
from typing import Any

import pytest
import scipy.stats

from tests import pages
from tests.engines import ROOT

PAGE = "anomalies.md"
DIGEST = "081453a9453f7a40212b647141c8edfd730ebb4357723ce978e9f8f6f6c37345"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    return pages.output(PAGE, tmp_path_factory.mktemp("anomalies"))


def near(value: Any) -> Any:
    """What is not text to the digits of the page; null is null."""
    if isinstance(value, list):
        return [near(one) for one in value]
    return pytest.approx(value, rel=1e-4) if isinstance(value, float) else value


def test_the_answers_are_those_of_the_page(output: str) -> None:
    shown = [json.loads(block) for block in pages.blocks(PAGE, "json")]
    answers = [json.loads(line) for line in output.splitlines() if '"p_value":[' in line]
    assert len(shown) == len(answers) == 2
    for told, answer in zip(shown, answers, strict=True):
        assert list(told) == list(answer)
        assert answer == {name: near(value) for name, value in told.items()}


def test_every_way_tells_the_same_and_an_auditor_can_follow(output: str) -> None:
    assert f"{DIGEST}  exported/bundles/shuttle/1/calibration.npz" in output
    assert f"followed {DIGEST}" in output
    assert '"error"' not in output
    assert 'x-logdet-answer: {"model": "shuttle", "version": 1, "density": "exact", ' in output
    assert len(re.findall(r'"alpha": ?0\.06\d*,', output)) == 3  # JSON, header and first line
    assert '"datatype":"BOOL","data":[true]}' in output
    assert "anomalies      3 at fdr 0.1, alpha 0.06\n" in output
    assert f"calibration    {DIGEST}\n" in output


def test_the_spread_of_one_calibration_is_that_of_its_beta() -> None:
    page = (ROOT / "docs" / PAGE).read_text()
    table = re.findall(r"^  \| ([\d,]+) \| (.*) \|$", page, re.MULTILINE)
    assert len(table) == 3
    for rows, cells in table:
        n = int(rows.replace(",", ""))
        for alpha, cell in zip((0.1, 0.01, 0.001), cells.split(" | "), strict=True):
            k = math.floor(alpha * (n + 1))
            low, high = scipy.stats.beta.ppf([0.05, 0.95], k, n + 1 - k)
            assert cell == f"{low:.4f} to {high:.4f}"
