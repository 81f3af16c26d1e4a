"""A worker node killed, and the head killed and started again, under traffic."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import HOST_OF_REPLICAS
from tests.faults.cluster import Cluster, cluster, url
from tests.faults.steady import RETRYABLE, Steady, kinds
from tests.faults.table import tell

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(HOST_OF_REPLICAS not in os.environ, reason="needs a network of its own"),
]

WHERE = "cluster of three"
BEFORE_S, AWAY_S = 1.5, 5.0


@pytest.fixture(scope="module")
def nodes(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    kept = tmp_path_factory.mktemp("head") / "state"
    with cluster(bundles, RAY_gcs_storage="rocksdb", RAY_gcs_storage_path=str(kept)) as nodes:
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


def test_a_head_that_is_away_and_comes_back_is_not_missed(nodes: Cluster) -> None:
    with Steady(kinds(url(1))) as steady:
        time.sleep(BEFORE_S)
        at = nodes.kill(0)
        time.sleep(AWAY_S)
        nodes.start(0)
        time.sleep(25.0)
    tell(f"head killed, back after {AWAY_S:g} s", WHERE, steady.told, at)
    for told in steady.told.values():
        assert not told.wrong
        assert told.after.total() == 0, told.reasons()
    nodes.wait()
