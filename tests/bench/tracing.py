"""What traces cost the embedded engine: ``python -m tests.bench.tracing``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import httpx

from tests.collector import collector
from tests.engines import ROOT, embedded

ROUNDS, WARM, REQUESTS = 3, 300, 3000
BUNDLES = ROOT / "exported" / "bundles"
BODY = {"rows": [[43, 0, 82, 0, 42, 0, 39, 41, 2]]}


def main() -> None:
    """Print processor time of the server for a one-row request, one in flight."""
    with collector() as received:
        on = {"LOGDET_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        few = {
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        ways = {"off": {}, "on, one in a hundred": on | few, "on, all": on}
        told: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, settings in ways.items():
                told[name].append(cost_ms(settings))
    for name, costs in told.items():
        print(f"{name}: {median(costs):.2f} ms ({min(costs):.2f} to {max(costs):.2f})")  # noqa: T201


def cost_ms(settings: Mapping[str, str]) -> float:
    """Of one request to a service with these settings."""
    with embedded(BUNDLES, settings) as running, httpx.Client() as client:
        url = f"{running.url}/v1/models/shuttle/log_prob"

        def ask(times: int) -> None:
            for _ in range(times):
                client.post(url, json=BODY).raise_for_status()

        ask(WARM)
        before = used_s(running.process.pid)
        ask(REQUESTS)
        return (used_s(running.process.pid) - before) / REQUESTS * 1e3


def used_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
