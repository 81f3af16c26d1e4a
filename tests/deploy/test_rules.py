"""Rules, runbook and dashboard agree with each other, and promtool with all of them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import dashboard
from tests.deploy import expressions
from tests.prometheus import DEPLOY, needed

ROOT = DEPLOY.parent
RULE_TESTS = sorted((Path(__file__).parent / "rules").glob("*.test.yml"))
RUNBOOK = ROOT / "docs" / "operations.md"
FILES = ["alerts.yml", "recording.yml"]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [needed("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_prometheus_accepts_the_rules(name: str) -> None:
    promtool("check", "rules", DEPLOY / name)


def test_prometheus_accepts_the_configuration() -> None:
    promtool("check", "config", DEPLOY / "prometheus.yml")


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    promtool("test", "rules", path)


def expected() -> dict[str, list[Any]]:
    """Of each alert what the tests of promtool expect of it."""
    found: dict[str, list[Any]] = {rule["alert"]: [] for rule in expressions.alerts()}
    for path in RULE_TESTS:
        for group in yaml.safe_load(path.read_text())["tests"]:
            for case in group.get("alert_rule_test", []):
                found[case["alertname"]].append(case.get("exp_alerts", []))
    return found


@pytest.mark.parametrize(("alert", "cases"), expected().items())
def test_each_alert_is_seen_to_fire_and_to_be_silent(alert: str, cases: list[Any]) -> None:
    assert any(cases), f"{alert} never fires in a test"
    assert not all(cases), f"{alert} is never silent in a test"


def sections() -> dict[str, str]:
    """Of the runbook, by anchor."""
    parts = re.split(r"^#+ (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    titles, texts = parts[::2], parts[1::2]
    return {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-"): text
        for title, text in zip(titles, texts, strict=True)
    }


@pytest.mark.parametrize("rule", expressions.alerts(), ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_it_is_and_what_to_do(rule: Any) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOK
    text = sections()[anchor]
    for part in ("**Means**", "**Look**", "**Do**", "**Ignore**"):
        assert part in text, f"{rule['alert']} has no {part}"


def test_the_runbook_tells_of_no_alert_that_is_not_there() -> None:
    told = {anchor for anchor in sections() if anchor.startswith("logdet")}
    assert told == {rule["alert"].lower() for rule in expressions.alerts()}


def test_recorded_series_that_are_asked_for_are_made() -> None:
    asked = {
        selector.name
        for expr in [*expressions.of_rules(), *expressions.of_dashboard()]
        for selector in expressions.selectors(expr)
        if ":" in selector.name
    }
    assert asked <= expressions.recorded()
    unused = expressions.recorded() - asked
    assert not unused, f"nobody asks for {unused}"


def test_the_dashboard_is_what_its_program_writes() -> None:
    assert dashboard.OUT.read_text() == dashboard.text(), "make dashboard"


def test_panels_have_places_of_their_own() -> None:
    document = json.loads(dashboard.OUT.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
