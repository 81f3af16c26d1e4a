"""A worker that is told to go, as a pod that is deleted is by its manifest, under traffic."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.manifests import BASE, container, documents, of_kind, worker
from tests.engines import HOST_OF_REPLICAS
from tests.faults.cluster import ADDRESS, READY_S, Cluster, cluster, url
from tests.faults.steady import Steady, kinds
from tests.faults.table import tell
from tests.processes import family_of, title

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(HOST_OF_REPLICAS not in os.environ, reason="needs a network of its own"),
]

BEFORE_S, AFTER_S = 1.5, 5.0
GOES, COMES = 2, 3


@pytest.fixture(scope="module")
def nodes(bundles: Path) -> Iterator[Cluster]:
    with cluster(bundles) as nodes:
        yield nodes


def drain(nodes: Cluster, number: int) -> float:
    """Do what ``preStop`` does, where several nodes share a machine; the seconds it waits then."""
    pod = worker(of_kind(documents(BASE), "RayService"))["template"]
    script = container(pod)["lifecycle"]["preStop"]["exec"]["command"][-1]
    words = shlex.split(script.partition(";")[0])
    assert words[0] == "ray"
    place = [f"--address={ADDRESS}", f"--node-id={id_of(nodes, number)}"]
    ray = Path(sys.executable).with_name("ray")
    subprocess.run([ray, *words[1:], *place], env=nodes.environ, check=True, timeout=READY_S)
    return float(script.split()[-1])


def id_of(nodes: Cluster, number: int) -> str:
    """Ray's name of a node."""
    lines = " ".join(title(pid) for pid in family_of(nodes.nodes[number].pid))
    (found,) = set(re.findall(r"node[-_]id[= ]([0-9a-f]{56})", lines))
    return str(found)


def test_a_worker_that_is_drained_fails_no_request(nodes: Cluster) -> None:
    nodes.start(COMES)
    with Steady(kinds(url(1))) as steady:
        time.sleep(BEFORE_S)
        at = time.monotonic()
        until = at + drain(nodes, GOES)
        while nodes.replicas_of(GOES) and time.monotonic() < until:
            time.sleep(0.2)
        moved = time.monotonic() - at
        # What Kubernetes does next.
        nodes.nodes[GOES].send_signal(signal.SIGTERM)
        time.sleep(AFTER_S)
    tell(
        f"worker drained, its replica elsewhere after {moved:.0f} s",
        "cluster of four",
        steady.told,
        at,
    )
    assert moved < until - at
    assert nodes.replicas_of(COMES)
    for told in steady.told.values():
        assert not told.wrong
        assert told.after.total() == 0, told.reasons()
        assert not told.first, told.reasons()
