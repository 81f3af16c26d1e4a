"""Requests to try, made of numbers that a model accepts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from exported.manifest import Feature, Manifest

_DIGITS = 6


def row(manifest: Manifest) -> list[float | int]:
    """A row that the model can score: each feature's median in training."""
    return _typical_row(manifest.features)


def bodies(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """A body for each operation that the model has."""
    given: dict[str, Any] = {}
    if manifest.context_features:
        given = {"context": [_typical_row(manifest.context_features)]}
    rows: dict[str, Any] = {"rows": [row(manifest)]}
    known: dict[str, dict[str, Any]] = {
        "log_prob": rows,
        "feature_log_prob": rows,
        "score": rows,
        "scores": rows,
        "encode": rows,
        "decode": {"z": [[0.0] * manifest.latent_features]},
        "sample": {"n": 3, "seed": 0},
        "log_prob_bound": rows | {"samples": 1000, "seed": 0},
        "reconstruct": rows,
        "expectation": {"of": _questions(manifest), "samples": 10_000, "seed": 0},
    }
    return {name: body | given for name, body in known.items() if name in manifest.operations}


def curl(manifest: Manifest, address: str, *, with_token: bool = False) -> str:
    """One command to paste into a shell, with a token that the shell knows."""
    examples = bodies(manifest)
    operation = "score" if "score" in examples else next(iter(examples))
    body = json.dumps(examples[operation])
    url = f"{address}/v1/models/{manifest.name}/{operation}"
    token = ' -H "authorization: Bearer $LOGDET_TOKEN"' if with_token else ""
    return f"curl -s {url}{token} -H 'content-type: application/json' -d '{body}'"


def _questions(manifest: Manifest) -> list[dict[str, Any]]:
    feature = next((f for f in manifest.features if f.role == "modelled"), manifest.features[0])
    return [
        {"mean": feature.name},
        {"quantile": feature.name, "q": 0.99},
        {"probability": {feature.name: [_typical(feature), None]}},
    ]


def _typical_row(features: Sequence[Feature]) -> list[float | int]:
    return [_typical(feature) for feature in features]


def _typical(feature: Feature) -> float | int:
    if feature.kind == "integer":
        return int(feature.median)
    # A constant must be met to the last digit; elsewhere few digits are kinder to the reader.
    constant = feature.role == "constant"
    return feature.median if constant else float(f"{feature.median:.{_DIGITS}g}")
