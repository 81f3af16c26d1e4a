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
from training.prepared import STREAM_TEST, Prepared
from training.table import Rows

EVALUATION_ROWS = 8192


def full_flow(flow: Flow, prepared: Prepared) -> Flow:
    """Preprocessing and trained layers as one flow on raw modelled columns, in float64."""
    layers = Chain([*prepared.preprocessing.bijections, *flow.bijection.bijections])
    whole = Flow(copy.deepcopy(layers)).double().eval()
    return whole.requires_grad_(requires_grad=False)


def log_prob(density: Flow, prepared: Prepared, rows: Rows) -> NDArray[np.float64]:
    """Log-density of raw rows as they are served (whole numbers at their cell's centre), nats."""
    x = prepared.modelled(rows)
    parts = [density(part) for part in torch.split(x, EVALUATION_ROWS)] or [torch.empty(0)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def held_out(density: Flow, prepared: Prepared) -> HeldOut:
    """Mean log-likelihood of the test rows, whole numbers with uniform noise."""
    noise = prepared.noise(STREAM_TEST)
    rows = prepared.columns.dequantise(prepared.split.test, noise)
    nats = log_prob(density, prepared, rows)
    mean = float(nats.mean())
    return HeldOut(
        rows=len(nats),
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
    score = -log_prob(density, prepared, rows)
    return Separation(
        anomalies=len(anomalies),
        auroc=float(roc_auc_score(is_anomaly, score)),
        average_precision=float(average_precision_score(is_anomaly, score)),
    )
