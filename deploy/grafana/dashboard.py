"""The dashboard of the service: ``make dashboard`` writes its JSON.

Panels are in the files beside this one. Nothing of Grafana is needed.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.of_replicas import MACHINE, VERSIONS
from deploy.grafana.of_requests import AT_A_GLANCE, LATENCY, RUNS, TRAFFIC
from deploy.grafana.of_rows import COMPARED, DENSITY, TRUST
from deploy.grafana.panels import DATASOURCE, Json, placed

OUT = Path(__file__).with_name("dashboards") / "logdet.json"
UID = "logdet"
ROWS = {
    "At a glance": AT_A_GLANCE,
    "Traffic": TRAFFIC,
    "Latency": LATENCY,
    "Queue and batches": RUNS,
    "Density": DENSITY,
    "Can answers be trusted": TRUST,
    "Versions": VERSIONS,
    "Champion and challenger (where there is one)": COMPARED,
    "Replicas": MACHINE,
}


def variable(name: str, label: str, query: str, *, many: bool) -> Json:
    """A choice among the values of a label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        "current": {"text": ["All"], "value": ["$__all"]} if many else {},
    }


def variables() -> list[Json]:
    """What the person in front of the dashboard chooses."""
    models = 'logdet_model_info{job="$job"}'
    versions = 'logdet_model_info{job="$job",model=~"$model"}'
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource"}
    return [
        {**source, "query": "prometheus", "current": {}, "refresh": 1},
        variable("job", "Service", "label_values(logdet_build_info, job)", many=False),
        variable("model", "Model", f"label_values({models}, model)", many=True),
        variable("version", "Version", f"label_values({versions}, version)", many=True),
    ]


def dashboard() -> Json:
    """All of it, as Grafana imports and provisions it."""
    return {
        "uid": UID,
        "title": "logdet",
        "description": "Exact densities in production: docs/operations.md says what to do.",
        "tags": ["logdet"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": placed(ROWS),
    }


def text() -> str:
    """The dashboard as a file."""
    return json.dumps(dashboard(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    OUT.write_text(text())
