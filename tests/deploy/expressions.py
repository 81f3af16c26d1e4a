"""What the rules and the dashboard ask of Prometheus."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any, NamedTuple

import yaml

from deploy.grafana import dashboard
from tests.prometheus import DEPLOY

# A name, and the matchers of its labels where it has some.
_SELECTOR = re.compile(r"(?<![\w:$])(logdet[a-z]*[:_][\w:]+)(?:\{([^}]*)\})?")
_NAMELESS = re.compile(r'\{__name__=~"logdet_\((\w+)\|(\w+)\)_bucket",?([^}]*)\}')
_MATCHER = re.compile(r'(\w+)(=~|=|!=)"([^"]*)"')
_BY = re.compile(r"\b(?:by|on|group_left) \(([\w, ]+)\)")
# Of Grafana: what a person chooses, and what it knows of the time range.
VARIABLES = {
    "$job": "logdet",
    "$model": ".+",
    "$version": ".+",
    "$__rate_interval": "1m",
    "$__range": "5m",
}


class Selector(NamedTuple):
    """Series that an expression selects, one value of each label at a time."""

    name: str
    labels: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """As PromQL."""
        return self.name + "{" + ",".join(f'{k}="{v}"' for k, v in self.labels) + "}"


def rules(file: str) -> list[Any]:
    """All rules of a file."""
    groups = yaml.safe_load((DEPLOY / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[Any]:
    """All alerts."""
    return rules("alerts.yml")


def recorded() -> set[str]:
    """Names that recording rules make."""
    return {rule["record"] for rule in rules("recording.yml")}


def of_rules() -> list[str]:
    """Expressions of all rules."""
    return [rule["expr"] for rule in [*rules("recording.yml"), *alerts()]]


def panels() -> list[Any]:
    """Panels of the dashboard, but for titles of rows."""
    document = json.loads(dashboard.OUT.read_text())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def filled(expr: str) -> str:
    """An expression of the dashboard, as Grafana sends it."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


def of_dashboard() -> list[str]:
    """Expressions of all panels."""
    return [filled(target["expr"]) for panel in panels() for target in panel["targets"]]


def selectors(expr: str) -> set[Selector]:
    """What an expression selects; one for each value that a pattern names."""
    expr = _NAMELESS.sub(r"logdet_\1_bucket{\3} logdet_\2_bucket{\3}", expr)
    found = set()
    for name, matchers in _SELECTOR.findall(expr):
        known = [
            [(label, one) for one in (value.split("|") if kind == "=~" else [value])]
            for label, kind, value in _MATCHER.findall(matchers)
            if kind != "!=" and value != ".+" and label != "job"
        ]
        found |= {Selector(name, labels) for labels in product(*known)}
    return found


def grouped(expr: str) -> set[str]:
    """Labels by which an expression adds up or joins."""
    return {label for group in _BY.findall(expr) for label in group.split(", ")}
