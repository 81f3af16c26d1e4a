"""Statistics of models, read from the metrics of all replicas.

Rows, runs and requests are counted once, for Prometheus; here they are told again as the extension
of the protocol names them: ``inference_count`` is rows, ``execution_count`` runs of graphs,
``success`` and ``fail`` are requests.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from service.metrics import SUCCESS
from service.oip.models import Target

Page = Callable[[], Awaitable[str]]
_NS = 1e9
_READ = frozenset(
    {
        "logdet_rows_total",
        "logdet_requests_total",
        "logdet_executions_total",
        "logdet_last_request_timestamp_seconds",
        *(
            f"logdet_{name}_duration_seconds_{part}"
            for name in ("request", "queue", "compute")
            for part in ("sum", "count")
        ),
    }
)

Sample = tuple[str, dict[str, str], float]


async def statistics(page: Page, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """What each model has done since its replicas began, with the names of the messages.

    Args:
        page: Gives the metrics of all replicas.
        targets: The models.
    """
    return await asyncio.to_thread(_all, await page(), targets)


def _all(page: str, targets: Sequence[Target]) -> list[dict[str, Any]]:
    samples: defaultdict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for family in text_string_to_metric_families(page):
        for name, labels, value, *_ in family.samples:
            if name in _READ:
                key = labels["model"], labels["version"], labels["method"]
                samples[key].append((name, labels, value))
    return [
        _of(target, [s for method in target.methods for s in samples[*_key(target), method]])
        for target in targets
    ]


def _key(target: Target) -> tuple[str, ...]:
    return target.served.metrics.key


def _of(target: Target, mine: list[Sample]) -> dict[str, Any]:
    last = [value for name, _, value in mine if name == "logdet_last_request_timestamp_seconds"]
    runs = _duration(mine, "compute")
    # Tensors go in and out within the run; perf_analyzer wants the three counts to be alike.
    within = {"count": runs["count"], "ns": 0}
    return {
        "name": target.name,
        "version": _key(target)[1],
        "last_inference": int(1000 * max(last, default=0.0)),
        "inference_count": int(_sum(mine, "logdet_rows_total")),
        "execution_count": int(_sum(mine, "logdet_executions_total")),
        "inference_stats": {
            "success": _requests(mine, succeeded=True),
            "fail": _requests(mine, succeeded=False),
            "queue": _duration(mine, "queue"),
            "compute_input": within,
            "compute_infer": runs,
            "compute_output": within,
        },
    }


def _requests(samples: list[Sample], *, succeeded: bool) -> dict[str, int]:
    count = sum(
        value
        for name, labels, value in samples
        if name == "logdet_requests_total" and (labels["code"] in SUCCESS) == succeeded
    )
    outcome = "ok" if succeeded else "refused"
    seconds = _sum(samples, "logdet_request_duration_seconds_sum", outcome)
    return {"count": int(count), "ns": int(_NS * seconds)}


def _duration(samples: list[Sample], which: str) -> dict[str, int]:
    name = f"logdet_{which}_duration_seconds"
    count, seconds = _sum(samples, f"{name}_count"), _sum(samples, f"{name}_sum")
    return {"count": int(count), "ns": int(_NS * seconds)}


def _sum(samples: list[Sample], wanted: str, outcome: str | None = None) -> float:
    return sum(
        value
        for name, labels, value in samples
        if name == wanted and (outcome is None or labels["outcome"] == outcome)
    )
