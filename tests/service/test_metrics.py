from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from exported.bundle import read_bundle, read_manifest
from exported.calibration import Calibration
from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind
from service.histogram import P_VALUES
from service.metrics import LOADS, Metrics, merge
from service.model_metrics import ModelMetrics
from tests.bundles import ordinary_rows, write_gaussian

MODEL = {"replica": "r", "model": "gauss", "version": "1"}


def series_of(metrics: Metrics, root: Path) -> tuple[ModelMetrics, Calibration]:
    """Those of the bundle there, and what it was calibrated with."""
    bundle = read_bundle(root / "gauss" / "1")
    calibration = bundle.calibrations()["log_prob"]
    return metrics.model(bundle.manifest, calibration), calibration


def test_log_densities_are_counted_in_the_models_own_buckets(root: Path) -> None:
    metrics = Metrics("r")
    child, _ = series_of(metrics, root)
    quantiles = sorted(read_manifest(root / "gauss" / "1").calibration.quantiles.values())
    child.scores.observe(child.key, np.array([quantiles[0] - 1, quantiles[-1] + 1, quantiles[0]]))
    value = metrics.registry.get_sample_value
    assert value("logdet_log_prob_bucket", MODEL | {"le": str(quantiles[0])}) == 2
    assert value("logdet_log_prob_bucket", MODEL | {"le": str(quantiles[-1])}) == 2
    assert value("logdet_log_prob_bucket", MODEL | {"le": "+Inf"}) == 3
    assert value("logdet_log_prob_count", MODEL) == 3


def test_p_values_are_counted_as_decisions_are_made(root: Path) -> None:
    metrics = Metrics("r")
    child, calibration = series_of(metrics, root)
    known = calibration.scores
    # Float32 as graphs give them, ties with calibration rows, and scores beyond all of them.
    scores = np.concatenate([known, known.astype(np.float32), known - 1e-9, known[[0, -1]] * 3])
    for part in np.array_split(scores, 7):
        child.scores.observe(child.key, part)
    p_values = calibration.p_value(scores)
    value = metrics.registry.get_sample_value
    for p in P_VALUES:
        bucket = value("logdet_p_value_bucket", MODEL | {"le": str(p)})
        assert bucket == np.count_nonzero(p_values <= p), p
    assert value("logdet_p_value_count", MODEL) == len(scores)


def test_a_rate_that_few_calibration_rows_cannot_tell_counts_no_row(root: Path) -> None:
    metrics = Metrics("r")
    manifest = read_manifest(root / "gauss" / "1")
    child = metrics.model(manifest, Calibration.of(np.linspace(-5.0, 0.0, 30)))
    child.scores.observe(child.key, np.array([-1e30, -2.0]))
    value = metrics.registry.get_sample_value
    assert value("logdet_p_value_bucket", MODEL | {"le": "0.02"}) == 0
    assert value("logdet_p_value_bucket", MODEL | {"le": "0.05"}) == 1


def test_quantiles_of_the_calibration_rows_are_told(root: Path) -> None:
    metrics = Metrics("r")
    series_of(metrics, root)
    for quantile, score in read_manifest(root / "gauss" / "1").calibration.quantiles.items():
        labels = MODEL | {"quantile": quantile}
        assert metrics.registry.get_sample_value("logdet_calibration_score", labels) == score


def test_counters_of_failures_are_there_before_the_first() -> None:
    value = Metrics("r").registry.get_sample_value
    for kind in ErrorKind:
        assert value("logdet_rejected_total", {"replica": "r", "reason": kind}) == 0
    for result in LOADS:
        assert value("logdet_model_loads_total", {"replica": "r", "result": result}) == 0


def test_a_version_that_was_refused_is_told_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    write_gaussian(tmp_path)
    broken = tmp_path / "gauss" / "2"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    core = Core(ServiceConfig(bundles=tmp_path, provider="cpu", sessions=1))
    core.load()
    told = {"replica": "0", "model": "gauss", "version": "2"}
    assert core.metrics.registry.get_sample_value("logdet_bundle_refused", told) == 1
    shutil.rmtree(broken)

    async def look() -> None:
        await core.versions.look()
        await core.versions.look()

    asyncio.run(look())
    assert core.metrics.registry.get_sample_value("logdet_bundle_refused", told) is None


def test_a_model_that_was_unloaded_is_not_told_as_refused(root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1))
    core.load()
    asyncio.run(core.versions.unload("gauss"))
    assert ("gauss", 1) in core.catalogue.refused
    told = {"replica": "0", "model": "gauss", "version": "1"}
    assert core.metrics.registry.get_sample_value("logdet_bundle_refused", told) is None


def test_a_replica_tells_how_full_it_may_be_and_what_its_process_takes(root: Path) -> None:
    core = Core(ServiceConfig(bundles=root, queue_rows=7, queue_bytes=70, intake_bytes=700))
    page = core.metrics.snapshot().splitlines()
    assert 'logdet_queue_limit_rows{replica="0"} 7.0' in page
    assert 'logdet_queue_limit_bytes{replica="0"} 70.0' in page
    assert 'logdet_intake_limit_bytes{replica="0"} 700.0' in page
    value = core.metrics.registry.get_sample_value
    resident = value("logdet_process_resident_memory_bytes", {"replica": "0"})
    assert resident is not None
    assert 2**24 < resident < 2**40


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
    overloaded = [s for s in rejected.samples if s.labels["reason"] == "overloaded"]
    assert sorted(s.labels["replica"] for s in overloaded) == ["a", "b"]
    assert [s.value for s in overloaded] == [1, 1]
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
