"""Choosing the version that answers, on any engine; every replica does as one was told."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.policies import FILE
from tests.bundles import ordinary_rows

SERVE = "/v1/models/gauss/serve"


@pytest.fixture(autouse=True)
def as_before(api: httpx.Client, bundles: Path) -> Iterator[None]:
    yield
    assert api.post(SERVE, json={"version": "latest"}).status_code == 200
    (bundles / "gauss" / FILE).unlink()


def answered(api: httpx.Client, path: str = "score") -> Counter[int]:
    """Versions that answer requests by connections of their own, three rows each."""
    body = {"rows": ordinary_rows(3).tolist()}
    url = f"{api.base_url}/v1/models/gauss/{path}"
    return Counter(httpx.post(url, json=body).json()["version"] for _ in range(16))


def compared(api: httpx.Client) -> dict[str, float]:
    """Rows by outcome, over all replicas."""
    time.sleep(1.2)  # the page is made once a second
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for name, labels, value, *_ in family.samples:
            if name == "logdet_compared_rows_total":
                assert (labels["model"], labels["champion"], labels["challenger"]) == (
                    "gauss", "1", "2"
                )  # fmt: skip
                found[labels["outcome"]] += int(value)
    return dict(found)


def test_one_call_goes_back_everywhere(api: httpx.Client) -> None:
    assert answered(api) == {2: 16}
    answer = api.post(SERVE, json={"version": 1})
    assert answer.status_code == 200
    assert (answer.json()["version"], answer.json()["policy"]) == (1, "pinned")
    assert answered(api) == {1: 16}
    (entry,) = [m for m in api.get("/v1/models").json()["models"] if m["name"] == "gauss"]
    assert entry == answer.json()


def test_a_challenger_scores_the_rows_of_who_names_no_version(api: httpx.Client) -> None:
    answer = api.post(SERVE, json={"version": 1, "challenger": 2})
    assert (answer.json()["policy"], answer.json()["challenger"]) == ("compare", 2)
    before = sum(compared(api).values())
    assert answered(api) == {1: 16}
    assert answered(api, "versions/2/score") == {2: 16}
    found = compared(api)
    assert sum(found.values()) - before == 48
    assert found["champion_only"] == found["challenger_only"] == found["unanswered"] == 0


def test_a_version_that_there_is_not_is_refused_everywhere(api: httpx.Client) -> None:
    answer = api.post(SERVE, json={"version": 7})
    assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")
    assert answer.json()["error"] == "gauss has no version 7; it has: 1, 2"
    assert answered(api) == {2: 16}
