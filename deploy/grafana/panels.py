"""Panels of Grafana as plain JSON: what every panel has, and the kinds of them."""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # of Grafana's grid
_RED = "red"


class Query(NamedTuple):
    """What a panel asks of Prometheus.

    Attributes:
        expr: PromQL with the dashboard's variables.
        legend: Name of a series, from its labels.
        kind: ``time_series``, or ``heatmap`` of the buckets of a histogram, or ``table``.
        is_instant: Whether only the end of the time range is asked for.
    """

    expr: str
    legend: str = "{{replica}}"
    kind: str = "time_series"
    is_instant: bool = False

    def target(self, letter: str) -> Json:
        """The query as a panel has it."""
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "format": self.kind,
            "instant": self.is_instant,
            "legendFormat": self.legend,
            "range": not self.is_instant,
            "refId": letter,
        }


class Panel(NamedTuple):
    """A panel without its place.

    Attributes:
        title: Over it.
        text: What it says, and when to worry.
        queries: What it shows.
        body: Type, options and fields, of one of the kinds below.
        width: Of Grafana's 24 columns.
        height: In Grafana's rows of the grid.
    """

    title: str
    text: str
    queries: tuple[Query, ...]
    body: Json
    width: int = 8
    height: int = 8

    def at(self, number: int, x: int, y: int) -> Json:
        """The panel in its place."""
        targets = [q.target(chr(ord("A") + i)) for i, q in enumerate(self.queries)]
        return {
            "id": number,
            "title": self.title,
            "description": self.text,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": targets,
            **self.body,
        }


def lines(unit: str, worry: float | None = None, *, stacked: bool = False) -> Json:
    """Series over time.

    Args:
        unit: As Grafana names it.
        worry: From where on the background is red.
        stacked: Whether they add up.
    """
    custom: Json = {"drawStyle": "line", "fillOpacity": 30 if stacked else 0, "lineWidth": 1}
    custom["stacking"] = {"group": "A", "mode": "normal" if stacked else "none"}
    if worry is not None:
        custom["thresholdsStyle"] = {"mode": "line"}
    return {
        "type": "timeseries",
        "fieldConfig": _fields(unit, worry, custom),
        "options": {
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def dashed(body: Json, pattern: str) -> Json:
    """The same, with the series whose names match drawn as broken lines."""
    style = {"id": "custom.lineStyle", "value": {"dash": [10, 10], "fill": "dash"}}
    override = {"matcher": {"id": "byRegexp", "options": pattern}, "properties": [style]}
    return {**body, "fieldConfig": {**body["fieldConfig"], "overrides": [override]}}


def number(unit: str, worry: float | None = None) -> Json:
    """The latest value, large."""
    return {
        "type": "stat",
        "fieldConfig": _fields(unit, worry, {}),
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value",
        },
    }


def heatmap(unit: str) -> Json:
    """Buckets of a histogram over time."""
    return {
        "type": "heatmap",
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Blues", "scale": "exponential", "steps": 64},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "unit": unit},
        },
    }


def bars(unit: str) -> Json:
    """Buckets of a histogram over the whole time range."""
    return {
        "type": "bargauge",
        "fieldConfig": _fields(unit, None, {}),
        "options": {
            "displayMode": "basic",
            "orientation": "vertical",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": False,
            "valueMode": "color",
        },
    }


def table() -> Json:
    """Labels of series."""
    excluded = dict.fromkeys(("Time", "Value"), True)
    return {
        "type": "table",
        "fieldConfig": {"defaults": {"custom": {"align": "left"}}, "overrides": []},
        "options": {"showHeader": True},
        "transformations": [{"id": "organize", "options": {"excludeByName": excluded}}],
    }


def placed(rows: dict[str, tuple[Panel, ...]]) -> list[Json]:
    """All panels in their places, each row under its title."""
    found: list[Json] = []
    y = 0
    for title, panels in rows.items():
        at = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        row = {"id": len(found) + 1, "type": "row", "title": title, "gridPos": at}
        found.append({**row, "collapsed": False, "panels": []})
        y, x = y + 1, 0
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + panel.height
            found.append(panel.at(len(found) + 1, x, y))
            x += panel.width
        y += panels[-1].height
    return found


def _fields(unit: str, worry: float | None, custom: Json) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if worry is not None:
        steps.append({"color": _RED, "value": worry})
    thresholds = {"mode": "absolute", "steps": steps}
    return {
        "defaults": {"unit": unit, "thresholds": thresholds, "custom": custom},
        "overrides": [],
    }
