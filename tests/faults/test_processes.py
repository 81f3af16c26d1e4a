"""A replica and a proxy killed under traffic, behind Serve's proxy and behind HAProxy."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import HOST_OF_REPLICAS, Running, on_ray
from tests.faults.steady import RETRYABLE, Steady, Told, kinds
from tests.faults.table import tell
from tests.processes import named

pytestmark = pytest.mark.faults

IS_HAPROXY = HOST_OF_REPLICAS in os.environ
WHERE = "HAProxy" if IS_HAPROXY else "loopback"
REPLICA, PROXY = "ServeReplica", "HAProxyManager" if IS_HAPROXY else "ProxyActor"
BEFORE_S, HUNG_S = 1.5, 0.3
BACK_S = 5.0
START_S = 60.0


@pytest.fixture(scope="module")
def service(bundles: Path) -> Iterator[Running]:
    with on_ray(bundles) as running:
        yield running


def busy() -> float:
    """How much longer a start takes because others want the processors: 1 where nobody does."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def broken(service: Running, words: str, fault: str, watch_s: float) -> dict[str, Told]:
    """Hang a process for a moment, so that requests are in it, kill it, watch the clients."""
    address = re.search(r"gRPC on ([\d.:]+)", service.banner)
    assert address
    victim = named(service.process.pid, words)[0]
    with Steady(kinds(service.url, address[1])) as steady:
        time.sleep(BEFORE_S)
        os.kill(victim, signal.SIGSTOP)
        time.sleep(HUNG_S)
        at = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        time.sleep(watch_s)
    tell(fault, WHERE, steady.told, at)
    for told in steady.told.values():
        assert not told.wrong
        assert set(told.reasons()) <= RETRYABLE
    assert steady.told["HTTP"].recovered_s(at) < BACK_S * busy()
    return steady.told


def test_a_killed_replica_loses_no_request_that_is_sent_twice(service: Running) -> None:
    assert len(named(service.process.pid, REPLICA)) == 2
    told = broken(service, REPLICA, "replica killed", watch_s=6.0)
    assert sum(len(one.first) for one in told.values()) > 0, "nothing was in the replica"
    assert {name: one.after.total() for name, one in told.items()} == dict.fromkeys(told, 0)
    until = time.monotonic() + START_S
    while len(named(service.process.pid, REPLICA)) < 2:
        assert time.monotonic() < until, "the replica was not replaced"
        time.sleep(0.2)


def test_a_killed_proxy_is_back_in_five_seconds(service: Running) -> None:
    told = broken(service, PROXY, "proxy killed", watch_s=9.0)
    assert told["HTTP"].after.total() > 0 or IS_HAPROXY, "the proxy was not missed"
    assert told["logdet.Client, gRPC, retries=0"].first == []


@pytest.mark.skipif(not IS_HAPROXY, reason="of HAProxy")
def test_a_killed_haproxy_is_back_in_five_seconds(service: Running) -> None:
    told = broken(service, "bin/haproxy -db", "HAProxy killed", watch_s=9.0)
    assert told["HTTP"].after.total() > 0, "HAProxy was not missed"
