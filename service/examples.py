"""Requests to try, made of numbers that a model accepts."""

from __future__ import annotations

import json
from typing import Any

from exported.manifest import Feature, Manifest

_DIGITS = 6


def row(manifest: Manifest) -> list[float | int]:
    """A row that the model can score: each feature's median in training."""
    return [_typical(feature) for feature in manifest.features]


def bodies(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """A body for each operation that the model has."""
    rows: dict[str, Any] = {"rows": [row(manifest)]}
    known: dict[str, dict[str, Any]] = {
        "log_prob": rows,
        "score": rows,
        "encode": rows,
        "decode": {"z": [[0.0] * manifest.latent_features]},
        "sample": {"n": 3, "seed": 0},
    }
    return {name: body for name, body in known.items() if name in manifest.operations}


def curl(manifest: Manifest, address: str) -> str:
    """One command to paste into a shell."""
    examples = bodies(manifest)
    operation = "score" if "score" in examples else next(iter(examples))
    body = json.dumps(examples[operation])
    url = f"{address}/v1/models/{manifest.name}/{operation}"
    return f"curl -s {url} -H 'content-type: application/json' -d '{body}'"


def _typical(feature: Feature) -> float | int:
    if feature.kind == "integer":
        return int(feature.median)
    # A constant must be met to the last digit; elsewhere few digits are kinder to the reader.
    constant = feature.role == "constant"
    return feature.median if constant else float(f"{feature.median:.{_DIGITS}g}")
