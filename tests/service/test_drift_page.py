"""The commands of docs/drift.md are answered as it says, and its table holds."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from service.drift.difference import Difference
from service.drift.sketch import Level
from service.drift.sums import Sums
from tests import pages
from tests.engines import ROOT

PAGE = "drift.md"
LATENTS = 10


def test_the_answer_is_that_of_the_page(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    lines = [line for line in pages.output(PAGE, tmp_path).splitlines() if "{" in line]
    (shown,) = pages.blocks(PAGE, "text")
    assert lines[:3] == shown.splitlines()[:3]
    for line, told in zip(lines[3:5], shown.splitlines()[3:], strict=True):
        got, expected = ast.literal_eval(line), ast.literal_eval(told)
        assert got.pop("latent") == expected.pop("latent")
        assert got == pytest.approx(expected, rel=0.2)


def test_shifts_of_the_table_are_the_smallest_that_are_found() -> None:
    page = (ROOT / "docs" / PAGE).read_text()
    table = re.findall(r"^\| ([\d,]+) \| (0\.[\d. |]*) \|$", page, re.MULTILINE)
    assert [row for row, _ in table] == ["300", "2,279", "20,000"]
    for row, cells in table:
        shifts = [float(cell) for cell in cells.split(" | ")]
        for rows, shift in zip((250, 1_000, 10_000, 100_000), shifts, strict=True):
            known = int(row.replace(",", ""))
            assert is_found(known, rows, shift + 0.005)
            assert not is_found(known, rows, shift - 0.005)


def is_found(known: int, rows: int, shift: float) -> bool:
    """Whether one latent whose mean has moved, of mean square 1 in both together, is an alarm."""
    means = np.array([known, -rows]) * shift / (known + rows)  # of both together 0
    window, ordinary = (
        Sums(count, count / 2, np.zeros(20, np.int64), count, count * np.array(moments))
        for count, moments in (
            (rows, [[means[0]], [1.0], [3.0]]),
            (known, [[means[1]], [1.0], [3.0]]),
        )
    )
    found = Difference.of(window, ordinary)
    return found.smallest_p <= Level.of(0.01, LATENTS).p_value
