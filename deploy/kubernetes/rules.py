"""Writes the rules of Prometheus under deploy/ as PrometheusRules for its operator.

python deploy/kubernetes/rules.py            # or make manifests
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[1]
OUT = DEPLOY / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"
HEADER = "# Made by `make manifests` from the rules under deploy/: change them there.\n"


def documents(folder: Path) -> list[dict[str, Any]]:
    """One for each file of rules: within one, Kubernetes takes no two groups of a name."""
    files = [path for path in sorted(folder.rglob("*.yml")) if OUT.parents[2] not in path.parents]
    read = {path.stem: yaml.safe_load(path.read_text()) or {} for path in files}
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"logdet-{name}"},
            "spec": {"groups": document["groups"]},
        }
        for name, document in read.items()
        if "groups" in document
    ]


def text(folder: Path = DEPLOY) -> str:
    """The manifests."""
    made = yaml.safe_dump_all(documents(folder), sort_keys=False, width=95, allow_unicode=True)
    return HEADER + made


if __name__ == "__main__":
    OUT.write_text(text())
