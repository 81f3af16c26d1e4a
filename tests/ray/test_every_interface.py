"""The profile that binds every interface, in a network of its own: the same suites once more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import private_network
from tests.engines import HOST_OF_REPLICAS, ROOT

ADDRESS = "0.0.0.0"  # noqa: S104 - bound where nobody else is


@pytest.mark.serve
@pytest.mark.skipif(not private_network.can_be_made(), reason="needs a network of its own")
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
    pytest_of = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", tests]
    done = subprocess.run(
        private_network.inside([*pytest_of, *suites]),
        cwd=ROOT,
        env=os.environ | {HOST_OF_REPLICAS: ADDRESS},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
