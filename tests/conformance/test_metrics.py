"""``/metrics`` counts exactly what was sent, over all replicas."""

from __future__ import annotations

import time
from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.bundles import ordinary_rows

PATIENCE_S = 10.0  # engines may answer from a page that is a second old


def totals(api: httpx.Client) -> Counter[tuple[str, str]]:
    """Samples by name and method, summed over replicas, for the model ``gauss``."""
    sums: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            if sample.labels.get("model") == "gauss" and "le" not in sample.labels:
                label = sample.labels.get("status", sample.labels.get("method", ""))
                sums[sample.name, label] += int(sample.value)
    return sums


def settled(api: httpx.Client) -> Counter[tuple[str, str]]:
    time.sleep(1.2)
    return totals(api)


def test_every_row_is_counted_once(api: httpx.Client) -> None:
    before = settled(api)
    x = ordinary_rows(100)
    for rows in (1, 7, 100):
        for operation in ("log_prob", "score"):
            body = {"rows": x[:rows].tolist()}
            assert api.post(f"/v1/models/gauss/{operation}", json=body).status_code == 200
    body = {"rows": [[None, 1, 1, 7.1], [1, 1, 999, 7.1], [10, -3, 40, 7.1]]}
    assert api.post("/v1/models/gauss/encode", json=body).status_code == 200
    assert api.post("/v1/models/gauss/sample", json={"n": 11}).status_code == 200
    body = {"of": [{"mean": "flow"}], "samples": 1500}
    assert api.post("/v1/models/gauss/expectation", json=body).status_code == 200
    grown = _grown(api, before, ("logdet_rows_total", "log_prob"), 108)
    assert grown["logdet_rows_total", "expectation"] == 1500
    assert grown["logdet_rows_total", "score"] == 108
    assert grown["logdet_rows_total", "encode"] == 3
    assert grown["logdet_rows_total", "sample"] == 11
    assert grown["logdet_row_status_total", "non_finite_input"] == 1
    assert grown["logdet_row_status_total", "out_of_support"] == 1
    assert grown["logdet_row_status_total", "ok"] == 108 + 108 + 1 + 11 + 1500
    assert grown["logdet_requests_total", "log_prob"] == 3
    assert grown["logdet_log_prob_count", ""] == 216


def test_the_page_has_every_metric_that_is_promised(api: httpx.Client) -> None:
    api.post("/v1/models/gauss/log_prob", json={"rows": []})
    settled(api)
    names = {f.name for f in text_string_to_metric_families(api.get("/metrics").text)}
    assert names >= {
        f"logdet_{name}"
        for name in (
            *("requests", "request_duration_seconds", "rows", "executions", "batch_rows"),
            *("batch_requests", "queue_duration_seconds", "compute_duration_seconds"),
            *("queue_rows", "inflight_requests", "rejected", "cancelled", "row_status"),
            *(
                "log_prob",
                "score",
                "bound_samples",
                "model_load_duration_seconds",
                "model_loads",
                "model_ready",
            ),
            *("model_info", "provider_info", "build_info", "last_request_timestamp_seconds"),
        )
    }


def test_every_series_says_which_replica_it_is_from(api: httpx.Client) -> None:
    page = api.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    families = list(text_string_to_metric_families(page.text))
    assert len({f.name for f in families}) == len(families)
    for family in families:
        if family.name != "logdet_scrape_incomplete":
            assert all(sample.labels["replica"] for sample in family.samples)


def _grown(
    api: httpx.Client,
    before: Counter[tuple[str, str]],
    key: tuple[str, str],
    expected: int,
) -> Counter[tuple[str, str]]:
    until = time.monotonic() + PATIENCE_S
    while True:
        grown = totals(api)
        grown.subtract(before)
        if grown[key] == expected or time.monotonic() > until:
            break
        time.sleep(0.2)
    assert grown[key] == expected
    return grown
