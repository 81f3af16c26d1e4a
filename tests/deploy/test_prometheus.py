"""A real Prometheus beside the really running service: what is asked for is there, alerts fire."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.scrape import Scrape
from service.storage.health import StorageMetrics
from tests.bundles import ordinary_rows, write_gaussian
from tests.deploy import expressions
from tests.engines import EMBEDDED, running_as
from tests.latents import write_vae
from tests.prometheus import Prometheus, needed, scraping
from tests.variants import write_referenced

pytestmark = pytest.mark.serve
RUNBOOK = (expressions.DEPLOY.parent / "docs" / "operations.md").read_text()
EVERY = [*expressions.of_rules(), *expressions.of_dashboard()]
# Only several replicas have the one, only a fault the other: seen elsewhere in this file.
SELDOM = {"logdet_scrape_incomplete", "logdet_bundle_refused"}
SETTINGS = {
    "LOGDET_SELF_CHECK_EVERY": "1",
    "LOGDET_SESSIONS": "1",
    "LOGDET_FOLLOW_S": "0.5",
    "LOGDET_SERVE": "gauss=1:2",
}
# As a processor that computes wrongly: no answer is within its bound.
WRONG = "import service.selfcheck_bounds as b\nb.ROOM = b.LEAST_ROUND_TRIP = 0.0\n" + EMBEDDED


@dataclass
class Traffic:
    """Requests that go on until the end."""

    url: str
    rows: Callable[[int], Any] = lambda seed: ordinary_rows(100, seed=seed)
    ended: threading.Event = field(default_factory=threading.Event)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def ask(self, path: str, body: Any) -> httpx.Response:
        return self.client.post(f"{self.url}/v1/models/{path}", json=body)

    def send(self, seed: int) -> None:
        rows = self.rows(seed).tolist()
        for path in ("gauss/score", "referenced/log_prob", "referenced/encode"):
            self.ask(path, {"rows": rows})
        self.ask("gauss/score", {"rows": rows[:1]})
        drawn = self.ask("vae/sample", {"n": 20})
        if drawn.status_code == 200:  # not while too many others ask
            self.ask("vae/score", {"rows": drawn.json()["rows"]})
        self.ask("gauss/score", {"rows": "wrong"})
        self.ask("gauss/log_prob", {"rows": [[None] * 4]})

    def go_on(self) -> None:
        seed = 0
        while not self.ended.wait(0.05):
            seed += 1
            try:
                self.send(seed)
            except httpx.TransportError:
                assert self.ended.is_set(), "the service went away"


@contextmanager
def traffic(url: str) -> Iterator[Traffic]:
    """Requests of all kinds, until the end."""
    with ThreadPoolExecutor(1) as pool:
        sending = Traffic(url)
        going = pool.submit(sending.go_on)
        try:
            yield sending
        finally:
            sending.ended.set()
            going.result(60)
            sending.client.close()


def write_some(root: Path) -> Path:
    """A flow and its challenger, one that is held against float64, and a VAE."""
    write_gaussian(root)
    write_gaussian(root, version=2)
    write_referenced(root)
    write_vae(root)
    return root


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service is that has had ordinary traffic for some time, and still has."""
    bundles = write_some(tmp_path_factory.mktemp("bundles"))
    with running_as(EMBEDDED, bundles, SETTINGS) as running, traffic(running.url):
        for _ in range(600):
            if 'window="10000"' in httpx.get(f"{running.url}/metrics").text:
                break
            time.sleep(0.1)
        yield running.url


@pytest.fixture(scope="module")
def healthy(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has watched it."""
    with scraping(service, tmp_path_factory.mktemp("prometheus")) as prometheus:
        prometheus.wait(
            lambda: all(prometheus.value(name) for name in expressions.recorded()),
            "all recording rules gave something",
        )
        yield prometheus


class Stored:
    """Bundles in a bucket."""

    health = None
    refused: Mapping[Any, str] = {}


@pytest.fixture(scope="module")
def page(service: str) -> list[Metric]:
    """All series that there may be: with a bucket, and with several replicas as well."""

    async def nobody() -> list[str]:
        return []

    registry = CollectorRegistry()
    registry.register(StorageMetrics("0", Stored()))
    text = httpx.get(f"{service}/metrics").text + asyncio.run(Scrape(str, nobody).page())
    text += generate_latest(registry).decode()
    return list(text_string_to_metric_families(text))


def test_all_that_rules_and_panels_ask_for_is_there(page: list[Metric]) -> None:
    samples = [(s.name, s.labels.items()) for family in page for s in family.samples]
    known = {family.name for family in page}
    asked = {selector for expr in EVERY for selector in expressions.selectors(expr)}
    assert len(asked) > 60
    for selector in asked:
        if selector.name in SELDOM:
            assert selector.name in known, selector
        elif ":" not in selector.name:  # made by a recording rule
            wanted = set(selector.labels)
            assert any(name == selector.name and wanted <= labels for name, labels in samples), (
                f"there is no series {selector}"
            )


def test_labels_that_rules_and_panels_add_up_by_are_there(page: list[Metric]) -> None:
    labels = {label for family in page for sample in family.samples for label in sample.labels}
    for expr in EVERY:
        assert expressions.grouped(expr) <= {*labels, "job"}, expr


def test_the_runbook_says_what_each_metric_is(page: list[Metric]) -> None:
    told = {row.split("`")[1]: row for row in RUNBOOK.splitlines() if row.startswith("| `logdet_")}
    made = {name(family): row(family) for family in page}
    assert told.keys() == made.keys()
    for which, expected in made.items():
        told_of = told[which]
        if "| ? |" in expected:  # no series, so no labels to compare
            told_of = re.sub(r"\| [\w, ]* \|(?=[^|]*\|$)", "| ? |", told_of)
        assert told_of == expected


def name(family: Metric) -> str:
    """As queries name it."""
    return family.name + ("_total" if family.type == "counter" else "")


def row(family: Metric) -> str:
    """Of the runbook's table: name, kind, labels beside the replica, meaning."""
    labels = [
        label for s in family.samples for label in s.labels if label not in ("replica", "le")
    ]
    by = ", ".join(dict.fromkeys(sorted(labels))) if family.samples else "?"
    text = family.documentation.replace("|", "\\|")
    return f"| `{name(family)}` | {family.type} | {by} | {text} |"


@pytest.mark.parametrize("panel", expressions.panels(), ids=lambda panel: panel["title"])
def test_no_panel_is_empty(healthy: Prometheus, panel: Any) -> None:
    for target in panel["targets"]:
        found = healthy.value(expressions.filled(target["expr"]))
        assert found, target["expr"]
        values = [float(series["value"][1]) for series in found]
        assert not all(np.isnan(values)), target["expr"]
        for name in target["legendFormat"].split("{{")[1:]:
            label = name.partition("}}")[0]
            assert any(label in series["metric"] for series in found), label


def test_queries_of_the_runbook_are_answered(healthy: Prometheus) -> None:
    text = re.sub(r"^```.*?^```", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", text[: text.index("## Every metric")])
    queries = [
        span for span in spans if re.search(r"logdet[_:]\w+.*[]})]|logdet:", span, re.DOTALL)
    ]
    assert len(queries) >= 8
    for query in queries:
        assert healthy.value(query) or "bundle_refused" in query or "500" in query, query


def test_all_rules_can_be_computed_and_nothing_fires(healthy: Prometheus) -> None:
    groups = healthy.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(expressions.of_rules())
    healthy.wait(
        lambda: all(
            rule["health"] == "ok"
            for group in healthy.get("rules")["groups"]
            for rule in group["rules"]
        ),
        "all rules were computed",
    )
    healthy.wait(healthy.is_quiet, "nothing fires")


def overload(sending: Traffic) -> None:
    """Ask for far more at once than fits."""
    rows = ordinary_rows(40).tolist()

    def ask(_: int) -> int:
        return sending.ask("gauss/score", {"rows": rows}).status_code

    with ThreadPoolExecutor(16) as pool:
        assert 503 in set(pool.map(ask, range(200)))


def test_each_fault_has_its_alert(tmp_path: Path) -> None:
    needed("prometheus")
    bundles = write_some(tmp_path / "bundles")
    (tmp_path / "prometheus").mkdir()
    settings = SETTINGS | {"LOGDET_QUEUE_ROWS": "50"}
    with scraping_service(WRONG, bundles, settings, tmp_path) as (prometheus, sending, end):
        awaited(prometheus, {"LogdetManyAnswersBeyondBound", "LogdetAnswersBeyondBound"})
        write_gaussian(bundles, "gauss", 3, golden_offset=1.0)
        awaited(prometheus, {"LogdetBundleRefused"})
        overload(sending)
        awaited(prometheus, {"LogdetSheds", "LogdetErrorBudgetBurnsFast"})
        sending.rows = lambda seed: ordinary_rows(100, seed=seed) * [1.5, 1.5, 1, 1]
        awaited(prometheus, {"LogdetAlarmsJump", "LogdetDrift"})
        # What nobody broke is not reported.
        quiet = {"LogdetDown", "LogdetServingUnmet", "LogdetInternalErrors", "LogdetReplicasFlap"}
        quiet |= {"LogdetLatencyBudgetBurnsFast", "LogdetSelfChecksFail", "LogdetVersionsDiffer"}
        assert not prometheus.firing() & (quiet | {"LogdetRowsWithoutNumber"})
        end()
        awaited(prometheus, {"LogdetDown"})


@contextmanager
def scraping_service(
    program: str, bundles: Path, settings: dict[str, str], folder: Path
) -> Iterator[tuple[Prometheus, Traffic, Callable[[], None]]]:
    """A service with its Prometheus, its traffic, and what ends both but Prometheus."""
    with (
        running_as(program, bundles, settings) as running,
        traffic(running.url) as sending,
        scraping(running.url, folder / "prometheus") as prometheus,
    ):

        def end() -> None:
            sending.ended.set()
            running.process.terminate()

        yield prometheus, sending, end


def awaited(prometheus: Prometheus, names: set[str]) -> None:
    prometheus.wait(lambda: names <= prometheus.firing(), f"{names} fire")
