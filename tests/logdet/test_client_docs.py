"""The examples of docs/python.md run as they stand, against the shipped bundles."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.engines import ROOT, embedded

PAGE = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, Any] = {}
    with embedded(ROOT / "exported" / "bundles") as running:
        for example in EXAMPLES:
            exec(example.replace("http://127.0.0.1:8000", running.url), space)  # noqa: S102
        space["client"].close()
    assert len(EXAMPLES) == 5
    assert space["answer"].status.tolist() == ["ok", "non_finite_input"]
    np.testing.assert_allclose(space["again"].log_prob, space["drawn"].log_prob, atol=1e-3)
    assert space["scored"].index.tolist() == list(range(5000, 6000))
    assert len(space["unlikely"]) == space["scored"]["is_anomaly"].sum()
    assert list(space["frame"])[:9] == space["features"]
    assert sum(len(answer.log_prob) for answer in space["answers"]) == 1000
    assert "shutle" in capsys.readouterr().out


def test_every_operation_and_every_error_is_on_the_page() -> None:
    from logdet import Client, client

    operations = {name for name in dir(Client) if not name.startswith("_")} - {"close"}
    errors = set(client.__all__) - {"Answer", "AsyncClient", "Client", "ServiceRefused"}
    assert {name for name in operations if f"`{name}(" not in PAGE} == set()
    assert {name for name in errors if f"`{name}`" not in PAGE} == set()
