"""Held-out numbers of a trained flow, in float64 torch."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from exported.manifest import HeldOut
from training.bijections import Chain
from training.flow import Flow
from training.prepared import Prepared
from training.streams import Stream
from training.table import Rows

EVALUATION_ROWS = 8192
# A mean of fewer rows has no standard error worth the name.
MIN_TEST_ROWS = 2


def full_flow(flow: Flow, prepared: Prepared) -> Flow:
    """Preprocessing and trained layers as one flow on raw modelled columns, in float64."""
    layers = Chain([*prepared.preprocessing.bijections, *flow.bijection.bijections])
    whole = Flow(copy.deepcopy(layers)).double().eval()
    return whole.requires_grad_(requires_grad=False)


def log_prob(density: Flow, prepared: Prepared, rows: Rows) -> NDArray[np.float64]:
    """Log-density of rows anywhere on the modelled columns, nats; dequantised or not."""
    x = prepared.modelled(rows)
    parts = [density(part) for part in torch.split(x, EVALUATION_ROWS)] or [torch.empty(0)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def served_log_prob(density: Flow, prepared: Prepared, rows: Rows) -> NDArray[np.float64]:
    """Log-density of raw rows as the service gives it: -inf out of support."""
    nats = log_prob(density, prepared, rows)
    return np.where(prepared.columns.in_support(rows), nats, -np.inf)


def held_out(density: Flow, prepared: Prepared) -> HeldOut:
    """Mean log-likelihood of the test rows in support, whole numbers with uniform noise.

    Raises:
        ValueError: If hardly any test row is in support.
    """
    inside = prepared.columns.in_support(prepared.split.test)
    if inside.sum() < MIN_TEST_ROWS:
        raise ValueError(
            f"expected at least {MIN_TEST_ROWS} test rows in support, got {inside.sum()} of "
            f"{len(inside)}: a column that is constant in training varies in the test"
        )
    rows = prepared.columns.dequantise(prepared.split.test, prepared.noise(Stream.TEST))[inside]
    nats = log_prob(density, prepared, rows)
    mean = float(nats.mean())
    return HeldOut(
        rows=len(nats),
        out_of_support=int((~inside).sum()),
        log_likelihood=mean,
        standard_error=float(nats.std(ddof=1) / np.sqrt(len(nats))),
        log_likelihood_standardised=mean + prepared.columns.log_deviation(),
    )


@dataclass(frozen=True, slots=True)
class Separation:
    """How well the score tells labelled anomalies from held-out normal rows.

    Attributes:
        anomalies: Labelled rows.
        auroc: Area under the receiver operating characteristic.
        average_precision: Area under precision and recall.
    """

    anomalies: int
    auroc: float
    average_precision: float


def separation(density: Flow, prepared: Prepared) -> Separation | None:
    """Separation of the labelled anomalies by log_prob; None when there are none."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    anomalies = prepared.split.anomalies
    if not len(anomalies):
        return None
    rows = np.concatenate([prepared.split.test, anomalies])
    is_anomaly = np.arange(len(rows)) >= len(prepared.split.test)
    # Finite, because scikit-learn takes no infinities; the order is what counts.
    score = np.minimum(-served_log_prob(density, prepared, rows), np.finfo(np.float64).max)
    return Separation(
        anomalies=len(anomalies),
        auroc=float(roc_auc_score(is_anomaly, score)),
        average_precision=float(average_precision_score(is_anomaly, score)),
    )
