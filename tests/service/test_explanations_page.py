"""The commands of docs/explanations.md are answered as it says."""

from __future__ import annotations

import json
import shutil

import pytest

from tests import pages
from tests.service.test_anomalies_page import near

PAGE = "explanations.md"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    return pages.output(PAGE, tmp_path_factory.mktemp("explanations"))


def test_the_answer_is_that_of_the_page(output: str) -> None:
    (shown,) = map(json.loads, pages.blocks(PAGE, "json"))
    (answer,) = (json.loads(line) for line in output.splitlines() if '"contribution":[' in line)
    assert list(shown) == list(answer)
    assert answer == {name: near(value) for name, value in shown.items()}


def test_every_way_tells_the_same(output: str) -> None:
    (shown,) = pages.blocks(PAGE, "text")
    assert shown in output
    assert "scored 3 rows into why.csv: 2 anomalies" in output
    (table,) = (line for line in output.splitlines() if line.startswith("log_prob,"))
    assert "contribution_f1" in table
    assert "log_prob_nearest,change_f1" in table
    assert '"outputs":[{"name":"contribution","shape":[1,9]' in output
    assert '"error"' not in output
