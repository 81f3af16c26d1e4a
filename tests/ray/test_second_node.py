"""A second node joins a cluster that serves, takes part, and goes without being missed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.engines import HOST_OF_REPLICAS
from tests.faults.cluster import READY_S, Cluster, answers, nodes, url
from tests.faults.steady import RETRYABLE, Steady, kinds
from tests.faults.table import tell

pytestmark = [
    pytest.mark.serve,
    pytest.mark.timeout(600),
    pytest.mark.skipif(HOST_OF_REPLICAS not in os.environ, reason="needs a network of its own"),
]

WHERE = "a head and one or two nodes"
BEFORE_S, AFTER_S = 1.5, 10.0


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + READY_S
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.3)


def at_work(number: int) -> set[str]:
    """Replicas that have answered requests, as the page of metrics of a node tells it."""
    page = httpx.get(f"{url(number)}/metrics", timeout=30).text
    found = r'logdet_requests_total\{[^}]*method="log_prob"[^}]*replica="([^"]+)"[^}]*\} (\S+)'
    return {replica for replica, count in re.findall(found, page) if float(count) > 0}


def spread(cluster: Cluster, bundles: Path) -> None:
    """Ask for two replicas where there is room for one, and bring the room."""
    cluster.start(0)
    cluster.start(1)
    deploying = cluster.deploying(bundles)
    until(lambda: answers(1))
    assert (cluster.replicas(), deploying.poll()) == (1, None)
    cluster.start(2)
    cluster.deployed(deploying)
    cluster.wait()
    assert [len(cluster.replicas_of(number)) for number in (1, 2)] == [1, 1]


def test_a_second_node_takes_part_and_goes_without_being_missed(bundles: Path) -> None:
    with nodes() as cluster:
        spread(cluster, bundles)
        with Steady(kinds(url(1))) as steady:
            until(lambda: len(at_work(1)) == 2)
            time.sleep(BEFORE_S)
            at = cluster.kill(2)
            time.sleep(AFTER_S)
        assert len(cluster.replicas_of(1)) == 1
        tell("node that had joined killed", WHERE, steady.told, at)
        for told in steady.told.values():
            assert not told.wrong
            assert told.after.total() == 0, told.reasons()
            assert set(told.reasons()) <= RETRYABLE
            assert max(told.answered) > at + AFTER_S / 2
