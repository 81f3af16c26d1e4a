"""The faults behind HAProxy and of a cluster, in a network of its own."""

from __future__ import annotations

import os

import pytest

from tests.engines import HOST_OF_REPLICAS
from tests.faults.redis import is_there
from tests.network import can_be_made, pytest_there

SUITES = (
    "tests/faults/test_processes.py",
    "tests/faults/test_nodes.py",
    pytest.param(
        "tests/faults/test_kept.py",
        marks=pytest.mark.skipif(not is_there(), reason="redis-server is not installed"),
    ),
)


@pytest.mark.faults
@pytest.mark.timeout(700)
@pytest.mark.skipif(not can_be_made(), reason="needs a network of its own")
@pytest.mark.skipif(HOST_OF_REPLICAS in os.environ, reason="is in it")
@pytest.mark.parametrize("suite", SUITES)
def test_behind_haproxy_the_same_faults_cost_no_more(suite: str) -> None:
    assert "skipped" not in pytest_there("-m", "faults", suite, timeout_s=600)
