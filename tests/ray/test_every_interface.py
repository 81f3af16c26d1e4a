"""The profile that binds every interface, in a network of its own: the same suites once more."""

from __future__ import annotations

import pytest

from tests.network import can_be_made, pytest_there


@pytest.mark.serve
@pytest.mark.skipif(not can_be_made(), reason="needs a network of its own")
@pytest.mark.parametrize(
    ("suites", "tests"),
    [
        (
            ["tests/conformance", "tests/ray/test_engine.py"],
            "not embedded and not loopback and not sigterm",
        ),
        (["tests/ray/test_engine.py"], "sigterm"),
    ],
    ids=["answers", "stops"],
)
def test_behind_haproxy_the_suites_pass_as_they_do_on_loopback(
    suites: list[str], tests: str
) -> None:
    # One service at a time: HAProxy has fixed ports.
    assert "skipped" not in pytest_there("-k", tests, *suites, timeout_s=200)


@pytest.mark.serve
@pytest.mark.timeout(700)
@pytest.mark.skipif(not can_be_made(), reason="needs a network of its own")
def test_a_second_node_can_join_and_go() -> None:
    suite = "tests/ray/test_second_node.py"
    assert "skipped" not in pytest_there("-m", "serve", suite, timeout_s=600)
