"""Panels about requests: traffic, failures, latency, queue and batches."""

from __future__ import annotations

from deploy.grafana.asked import J, M, R, quantile, share
from deploy.grafana.panels import Panel, Query, heatmap, lines, number

AT_A_GLANCE = (
    Panel(
        "Requests a second",
        "Answered requests, but for those of probes and catalogues.",
        (Query(f'sum(rate(logdet_requests_total{{{J},method!="other"}}[{R}]))', "requests"),),
        number("reqps"),
        4,
        4,
    ),
    Panel(
        "Rows a second",
        "Rows that were answered about.",
        (Query(f"sum(rate(logdet_rows_total{{{M}}}[{R}]))", "rows"),),
        number("short"),
        4,
        4,
    ),
    Panel(
        "Failed requests, 1 h",
        "Overloaded, not ready, too late or failed by an error: 0.1 % in 30 days may be.",
        (Query(f"logdet:failures:ratio_rate1h{{{J}}}", "failed"),),
        number("percentunit", 0.001),
        4,
        4,
    ),
    Panel(
        "Slow answers, 1 h",
        "Successful answers that took longer than 0.25 s: 1 % in 30 days may be.",
        (Query(f"logdet:slow:ratio_rate1h{{{J}}}", "slow"),),
        number("percentunit", 0.01),
        4,
        4,
    ),
    Panel(
        "Replicas",
        "Processes that answered the last scrape.",
        (Query(f"count(logdet_process_start_time_seconds{{{J}}})", "replicas"),),
        number("short"),
        4,
        4,
    ),
    Panel(
        "Alarms of drift",
        "Models of which a replica sees rows unlike the calibration rows.",
        (Query(f"sum(max by (model, version) (logdet_drift_alarm{{{M}}}))", "models"),),
        number("short", 1),
        4,
        4,
    ),
)
TRAFFIC = (
    Panel(
        "Requests by operation",
        "Answered requests, refused ones among them.",
        (
            Query(
                f"sum by (method, protocol) (rate(logdet_requests_total{{{J}}}[{R}]))",
                "{{method}} {{protocol}}",
            ),
        ),
        lines("reqps", stacked=True),
    ),
    Panel(
        "Refused requests by kind",
        "overloaded, not_ready, deadline and internal are the service's failures; others are "
        "the clients'.",
        (Query(f"sum by (reason) (rate(logdet_rejected_total{{{J}}}[{R}]))", "{{reason}}"),),
        lines("reqps"),
    ),
    Panel(
        "Share of failures",
        "Of the requests of a window those that failed by the service's doing.",
        tuple(
            Query(f"logdet:failures:ratio_rate{window}{{{J}}}", window)
            for window in ("5m", "1h", "6h", "1d")
        ),
        lines("percentunit", 0.001),
    ),
)
LATENCY = (
    Panel(
        "Time of successful answers",
        "Request to answer. Bodies of many rows take longer than one row.",
        (
            Query(
                "sum by (le) (increase(logdet_request_duration_seconds_bucket"
                f'{{{M},outcome="ok"}}[{R}]))',
                "{{le}}",
                "heatmap",
            ),
        ),
        heatmap("s"),
    ),
    Panel(
        "Quantiles by operation",
        "Half of the answers, and all but one in a hundred, are faster.",
        tuple(
            Query(
                quantile(q, "request_duration_seconds", "method", f'{M},outcome="ok"'),
                f"{{{{method}}}} {name}",
            )
            for q, name in ((0.5, "median"), (0.99, "99 %"))
        ),
        lines("s", 0.25),
    ),
    Panel(
        "Where the time goes, 99 %",
        "Waiting for a run, and the run. If waiting grows, there is too little processor.",
        tuple(
            Query(quantile(0.99, f"{what}_duration_seconds", "method"), f"{{{{method}}}} {what}")
            for what in ("queue", "compute")
        ),
        lines("s"),
    ),
)
RUNS = (
    Panel(
        "Room that is taken",
        "Of the fullest replica: rows and memory of rows that wait, and bodies that are read. "
        "At 1 requests are refused as overloaded.",
        (Query(f"logdet:room_taken:max{{{J}}}", "{{of}}"),),
        lines("percentunit", 0.8),
        6,
    ),
    Panel(
        "Rows that wait",
        "Admitted and not answered.",
        (
            Query(f"sum(logdet_queue_rows{{{J}}})", "rows"),
            Query(f"sum(logdet_inflight_requests{{{J}}})", "requests"),
        ),
        lines("short"),
        6,
    ),
    Panel(
        "Rows of a run",
        "How large batches are.",
        (
            Query(
                f"sum by (le) (increase(logdet_batch_rows_bucket{{{M}}}[{R}]))",
                "{{le}}",
                "heatmap",
            ),
        ),
        heatmap("short"),
        6,
    ),
    Panel(
        "Requests that share a run",
        "1 where each runs alone: nothing waits.",
        (
            Query(
                share(
                    f"logdet_batch_requests_sum{{{M}}}",
                    f"logdet_batch_requests_count{{{M}}}",
                    "method",
                ),
                "{{method}}",
            ),
        ),
        lines("short"),
        6,
    ),
)
