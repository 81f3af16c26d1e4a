"""The head of a cluster killed and started again, its state kept in Redis, under traffic."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import HOST_OF_REPLICAS
from tests.faults.cluster import READY_S, Cluster, cluster, url
from tests.faults.redis import is_there, redis
from tests.faults.steady import RETRYABLE, Steady, kinds
from tests.faults.table import tell
from tests.processes import named

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not is_there(), reason="redis-server is not installed"),
    pytest.mark.skipif(HOST_OF_REPLICAS not in os.environ, reason="needs a network of its own"),
]

WHERE = "cluster of three, Redis"
BEFORE_S, AWAY_S, AFTER_S = 1.5, 10.0, 10.0
CONTROLLER = "ServeController"


@pytest.fixture(scope="module")
def nodes(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with redis(tmp_path_factory.mktemp("redis")) as kept, cluster(bundles, kept) as nodes:
        yield nodes


def until_led(nodes: Cluster) -> None:
    """Until Serve's controller runs again, wherever it does."""
    end = time.monotonic() + READY_S
    while not any(named(node.pid, CONTROLLER) for node in nodes.nodes.values()):
        assert time.monotonic() < end, "there is no controller"
        time.sleep(0.2)


def test_a_head_that_comes_back_finds_its_cluster(nodes: Cluster) -> None:
    replicas = nodes.replicas_of(1) + nodes.replicas_of(2)
    with Steady(kinds(url(1))) as steady:
        time.sleep(BEFORE_S)
        at = nodes.kill(0)
        time.sleep(AWAY_S)
        nodes.start(0)
        until_led(nodes)
        time.sleep(AFTER_S)
    tell(f"head killed, started again after {AWAY_S:g} s", WHERE, steady.told, at)
    for told in steady.told.values():
        assert not told.wrong
        assert told.after.total() == 0, told.reasons()
        assert set(told.reasons()) <= RETRYABLE
    after = nodes.replicas_of(1) + nodes.replicas_of(2)
    assert after == replicas, "the replicas were started again"


def test_it_leads_as_before(nodes: Cluster) -> None:
    """What shows that the state was kept: it replaces a replica that nobody told it of."""
    (victim,) = nodes.replicas_of(2)
    with Steady(kinds(url(1))) as steady:
        time.sleep(BEFORE_S)
        at = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        nodes.wait()
        time.sleep(BEFORE_S)
    tell("replica killed after that", WHERE, steady.told, at)
    for told in steady.told.values():
        assert not told.wrong
        assert told.after.total() == 0, told.reasons()
    assert nodes.replicas_of(2) != [victim]
