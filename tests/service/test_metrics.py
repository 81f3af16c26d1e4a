from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from exported.bundle import read_manifest
from service.core import Core
from service.metrics import Metrics, merge
from tests.bundles import ordinary_rows


def test_log_densities_are_counted_in_the_models_own_buckets(root: Path) -> None:
    metrics = Metrics("r")
    manifest = read_manifest(root / "gauss" / "1")
    child = metrics.model(manifest)
    quantiles = sorted(manifest.calibration.quantiles.values())
    child.scores.observe(child.key, np.array([quantiles[0] - 1, quantiles[-1] + 1, quantiles[0]]))
    labels = {"replica": "r", "model": "gauss", "version": "1"}
    value = metrics.registry.get_sample_value
    assert value("logdet_log_prob_bucket", labels | {"le": str(quantiles[0])}) == 2
    assert value("logdet_log_prob_bucket", labels | {"le": str(quantiles[-1])}) == 2
    assert value("logdet_log_prob_bucket", labels | {"le": "+Inf"}) == 3
    assert value("logdet_log_prob_count", labels) == 3


def test_the_core_counts_every_row_and_run(core: Core) -> None:
    served = core.find("gauss")
    x = ordinary_rows(200)
    x[3, 0] = np.nan

    async def work() -> None:
        await served.score(x)
        await core.drain()

    asyncio.run(work())
    value = core.metrics.registry.get_sample_value
    labels = {"replica": "0", "model": "gauss", "version": "1"}
    assert value("logdet_rows_total", labels | {"method": "score"}) == 200
    assert value("logdet_row_status_total", labels | {"status": "ok"}) == 199
    assert value("logdet_log_prob_count", labels) == 199
    # Scores, log-densities and latents come of one lane, which the first of them names.
    lane = labels | {"method": "log_prob"}
    assert value("logdet_executions_total", lane) == 4
    assert value("logdet_batch_rows_sum", lane) == 200
    assert value("logdet_queue_duration_seconds_count", lane) == 1
    assert value("logdet_inflight_requests", {"replica": "0"}) == 0


def test_pages_of_replicas_become_one_page_with_every_sample() -> None:
    pages = []
    for replica in ("a", "b"):
        metrics = Metrics(replica)
        metrics.environment("cpu", "1")
        metrics.rejected("overloaded")
        metrics.loaded(0.1, "ok")
        pages.append(metrics.snapshot())
    merged = list(text_string_to_metric_families(merge(pages)))
    assert len({family.name for family in merged}) == len(merged)
    rejected = next(family for family in merged if family.name == "logdet_rejected")
    assert sorted(s.labels["replica"] for s in rejected.samples) == ["a", "b"]
    samples = [
        s for page in pages for f in text_string_to_metric_families(page) for s in f.samples
    ]
    assert sum(len(family.samples) for family in merged) == len(samples)


def test_merging_one_page_changes_nothing() -> None:
    page = Metrics("a").snapshot()
    assert merge([page]) == page


def test_there_are_no_created_series(core: Core) -> None:
    page = core.metrics.snapshot()
    assert "_created" not in page
    assert "logdet_model_loads_total" in page
