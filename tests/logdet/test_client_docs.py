"""The examples of docs/python.md run as they stand, and ``help`` tells the rest."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

from logdet import AsyncClient, Client
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
    from logdet import client

    operations = {name for name in dir(Client) if not name.startswith("_")} - {"close"}
    errors = set(client.__all__) - {"Answer", "AsyncClient", "Client", "ServiceRefused"}
    assert {name for name in operations if f"`{name}(" not in PAGE} == set()
    assert {name for name in errors if f"`{name}`" not in PAGE} == set()


@pytest.mark.parametrize("of", [Client, AsyncClient])
def test_help_tells_every_parameter_of_every_operation(of: type) -> None:
    """Help of a method shows nothing of its class, and that of a class nothing of its bases."""
    for name in dir(Client):
        if name.startswith("_") or name == "close":
            continue
        method = getattr(of, name)
        told = inspect.getdoc(method) or ""
        assert "See the class" not in told, name
        assert "see :meth:" not in told, name
        for parameter in set(inspect.signature(method).parameters) - {"self"}:
            assert re.search(rf"^ +{parameter}: \S", told, re.MULTILINE), (name, parameter)
        if "rows" in inspect.signature(method).parameters:
            assert "in the manifest's order" in told, name
            assert "by feature name" in told, name
        if "frame" in inspect.signature(method).parameters:
            assert "Answer" in told, name


def test_help_of_the_client_tells_what_all_operations_share() -> None:
    told = inspect.cleandoc(Client.__doc__ or "")
    for shared in ("Rows are", "stand for what is not known", "context", "version", "frame"):
        assert shared in told, shared
    assert "those of :class:`Client`" in (AsyncClient.__doc__ or "")
