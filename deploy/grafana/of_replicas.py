"""Panels about replicas: which versions serve, and what the processes take."""

from __future__ import annotations

from deploy.grafana.asked import J, M, R
from deploy.grafana.panels import Panel, Query, lines, table

VERSIONS = (
    Panel(
        "Models",
        "What serves.",
        (
            Query(
                f"count by (model, version, family, density, features) (logdet_model_info{{{M}}})",
                "",
                "table",
                is_instant=True,
            ),
        ),
        table(),
    ),
    Panel(
        "Which version answers",
        "By default; challenger is compared with it. Replicas differ for seconds at most.",
        (
            Query(
                f'max by (model, role) (logdet_serving_version{{{J},model=~"$model"}})',
                "{{model}} {{role}}",
            ),
        ),
        lines("short"),
    ),
    Panel(
        "Bundles that were read",
        "In the time range, and those that are refused now: there should be none.",
        (
            Query(
                f"sum by (result) (increase(logdet_model_loads_total{{{J}}}[$__range]))",
                "{{result}}",
            ),
            Query(
                f"count(max by (model, version) (logdet_bundle_refused{{{J}}})) or vector(0)",
                "refused now",
            ),
        ),
        lines("short"),
    ),
)
MACHINE = (
    Panel(
        "Software",
        "Versions and devices of the replicas.",
        (
            Query(
                "count by (version, onnxruntime, provider) "
                f"(logdet_build_info{{{J}}} * on (replica) group_left (provider) "
                f"logdet_provider_info{{{J}}})",
                "",
                "table",
                is_instant=True,
            ),
        ),
        table(),
        6,
    ),
    Panel(
        "Age of replicas",
        "A sawtooth: they start again and again.",
        (Query(f"time() - logdet_process_start_time_seconds{{{J}}}"),),
        lines("s"),
        6,
    ),
    Panel(
        "Memory",
        "Resident, of each replica.",
        (Query(f"logdet_process_resident_memory_bytes{{{J}}}"),),
        lines("bytes"),
        6,
    ),
    Panel(
        "Processors in use",
        "Of each replica. At as many as it may have, requests wait.",
        (Query(f"rate(logdet_process_cpu_seconds_total{{{J}}}[{R}])"),),
        lines("short"),
        6,
    ),
)
