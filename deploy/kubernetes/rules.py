"""Writes the rules of Prometheus under deploy/ as one PrometheusRule for its operator.

python deploy/kubernetes/rules.py            # or make manifests
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[1]
OUT = DEPLOY / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"
HEADER = "# Made by `make manifests` from the rules under deploy/: change them there.\n"


def groups(folder: Path) -> list[dict[str, Any]]:
    """Groups of rules of every file that has some, in the order of their paths."""
    files = [path for path in sorted(folder.rglob("*.yml")) if OUT.parents[2] not in path.parents]
    documents = [yaml.safe_load(path.read_text()) for path in files]
    return [group for document in documents for group in (document or {}).get("groups", [])]


def text(folder: Path = DEPLOY) -> str:
    """The manifest."""
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "logdet"},
        "spec": {"groups": groups(folder)},
    }
    return HEADER + yaml.safe_dump(document, sort_keys=False, width=95, allow_unicode=True)


if __name__ == "__main__":
    OUT.write_text(text())
