"""A worker node killed, and the head, under traffic."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import HOST_OF_REPLICAS
from tests.faults.cluster import WORKERS, Cluster, cluster, url
from tests.faults.steady import RETRYABLE, Steady, kinds
from tests.faults.table import tell

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(HOST_OF_REPLICAS not in os.environ, reason="needs a network of its own"),
]

WHERE = "cluster of three"
BEFORE_S, AWAY_S = 1.5, 20.0


@pytest.fixture(scope="module")
def nodes(bundles: Path) -> Iterator[Cluster]:
    with cluster(bundles) as nodes:
        yield nodes


def test_a_killed_worker_node_loses_no_request_that_is_sent_twice(nodes: Cluster) -> None:
    with Steady(kinds(url(1))) as steady:
        time.sleep(BEFORE_S)
        at = nodes.kill(2)
        time.sleep(10.0)
    tell("worker node killed", WHERE, steady.told, at)
    for told in steady.told.values():
        assert not told.wrong
        assert told.after.total() == 0, told.reasons()
        assert set(told.reasons()) <= RETRYABLE
    nodes.start(2)
    nodes.wait()


def test_requests_go_on_without_the_head(nodes: Cluster) -> None:
    with Steady(kinds(url(1))) as steady:
        time.sleep(BEFORE_S)
        at = nodes.kill(0)
        time.sleep(AWAY_S)
    tell(f"head killed, away for {AWAY_S:g} s", WHERE, steady.told, at)
    for told in steady.told.values():
        assert not told.wrong
        assert told.after.total() == 0, told.reasons()


def test_a_cluster_that_lost_its_head_serves_again_once_it_is_started_again(
    nodes: Cluster, bundles: Path
) -> None:
    with Steady(kinds(url(1))) as steady:
        at = time.monotonic()
        for number in WORKERS:
            nodes.kill(number)
        nodes.begin(bundles)
        time.sleep(BEFORE_S)
    tell("head lost, every node started again", WHERE, steady.told, at)
    for told in steady.told.values():
        assert not told.wrong
        assert set(told.reasons()) <= RETRYABLE
