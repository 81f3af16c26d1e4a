"""Replicas that answer gRPC at one port."""

from __future__ import annotations

import re
import time
from collections import Counter

import grpc
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bundles import exact, ordinary_rows
from tests.engines import Running
from tests.rpc import DENSITY, plain

pytestmark = pytest.mark.serve

# Connections of their own, of which the kernel gives each to one of the replicas.
OWN = [("grpc.use_local_subchannel_pool", 1)]


def counted(replicas: Running) -> Counter[str]:
    """Requests for log-densities over gRPC, by replica."""
    page = httpx.get(replicas.url + "/metrics").text
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(page):
        for name, labels, value, *_ in family.samples:
            if name == "logdet_requests_total" and labels["protocol"] == "grpc":
                found[labels["replica"]] += int(value) * (labels["method"] == "log_prob")
    return found


def test_every_replica_answers_at_the_one_address(replicas: Running) -> None:
    found = re.search(r"gRPC on ([\d.:]+)", replicas.banner)
    assert found, replicas.banner
    before = counted(replicas)
    x = ordinary_rows(2)
    matrix = plain("logdet.v1.Matrix")(rows=2, columns=4, values=x.ravel().tolist())
    request = plain("logdet.v1.LogProbRequest")(model="gauss", rows=matrix).SerializeToString()
    for _ in range(24):
        with grpc.insecure_channel(found.group(1), options=OWN) as channel:
            data = channel.unary_unary(f"/{DENSITY}/LogProb")(request, timeout=10)
        answer = plain("logdet.v1.LogProbResponse").FromString(data)
        np.testing.assert_allclose(answer.log_prob, exact(x).log_prob, atol=1e-4)
    time.sleep(1.2)  # the page is made once a second
    grown = counted(replicas) - before
    assert grown.total() == 24
    assert len(grown) == 2
