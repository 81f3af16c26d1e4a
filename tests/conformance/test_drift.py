"""One answer about the rows of all replicas, whichever of them is asked."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.bundles import ordinary_rows

PATH = "/v1/models/scorer/drift"  # a model that the other tests ask little about
REQUESTS, AT_ONCE, BLOCK = 40, 200, 250


def test_rows_of_all_replicas_are_in_one_answer(api: httpx.Client) -> None:
    before = api.get(PATH).json()
    x = ordinary_rows(REQUESTS * AT_ONCE)
    x[:, 0] += 4.0

    def send(place: int) -> int:
        rows = x[place * AT_ONCE : (place + 1) * AT_ONCE].tolist()
        return api.post("/v1/models/scorer/score", json={"rows": rows}).status_code

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(send, range(REQUESTS))) == {200}
    answers: list[dict[str, Any]] = [api.get(PATH).json() for _ in range(6)]
    assert all(answer == answers[0] for answer in answers)
    answer, sent = answers[0], REQUESTS * AT_ONCE
    replicas = answer["replicas"]
    waiting = 2 * BLOCK * len(replicas)  # of rows that fill no block yet, there are fewer
    assert abs(answer["rows"] - before["rows"] - sent) < waiting
    assert sum(replica["rows"] for replica in replicas) == answer["rows"]
    assert answer["windows"][0]["rows"] <= 1_000 * len(replicas)
    assert answer["alarm"]
    assert answer["windows"][0]["score"]["shift"] < -0.1
    assert _alarmed(api) == {replica["replica"] for replica in replicas if replica["since"]}


def _alarmed(api: httpx.Client) -> set[str]:
    time.sleep(1.2)  # the page is made once a second
    families = text_string_to_metric_families(api.get("/metrics").text)
    return {
        sample.labels["replica"]
        for family in families
        for sample in family.samples
        if sample.name == "logdet_drift_alarm"
        and sample.labels["model"] == "scorer"
        and sample.value == 1
    }
