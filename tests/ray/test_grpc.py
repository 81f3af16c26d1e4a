"""Replicas that answer gRPC at one port."""

from __future__ import annotations

import re
import time

import grpc
import httpx
import numpy as np
import pytest

from tests.bundles import exact, ordinary_rows
from tests.engines import Running
from tests.rpc import DENSITY, plain

pytestmark = pytest.mark.serve

# Connections of their own, of which the kernel gives each to one of the replicas.
OWN = [("grpc.use_local_subchannel_pool", 1)]


def test_every_replica_answers_at_the_one_address(replicas: Running) -> None:
    found = re.search(r"gRPC on ([\d.:]+)", replicas.banner)
    assert found, replicas.banner
    x = ordinary_rows(2)
    matrix = plain("logdet.v1.Matrix")(rows=2, columns=4, values=x.ravel().tolist())
    request = plain("logdet.v1.LogProbRequest")(model="gauss", rows=matrix).SerializeToString()
    for _ in range(24):
        with grpc.insecure_channel(found.group(1), options=OWN) as channel:
            data = channel.unary_unary(f"/{DENSITY}/LogProb")(request, timeout=10)
        answer = plain("logdet.v1.LogProbResponse").FromString(data)
        np.testing.assert_allclose(answer.log_prob, exact(x).log_prob, atol=1e-4)
    time.sleep(1.2)  # the page is made once a second
    page = httpx.get(replicas.url + "/metrics").text
    counts = re.findall(r"logdet_requests_total\{.*log_prob.*grpc.*\} ([\d.]+)", page)
    assert sum(map(float, counts)) == 24
    assert len(counts) == 2
