"""The commands of docs/curl.md, against the shipped bundles."""

from __future__ import annotations

import shutil

import pytest

from tests import pages

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return pages.output("curl.md", tmp_path_factory.mktemp("curl"))


def test_every_command_is_answered(output: str) -> None:
    assert len(pages.blocks("curl.md", "sh")) >= 7
    assert output.count('"error"') == 1  # the one that the page shows
    assert "x-logdet-answer: {" in output
    assert '{"rows":3}' in output
    assert output.count("non_finite_input") >= 4  # in CSV twice, in a line, in Arrow
