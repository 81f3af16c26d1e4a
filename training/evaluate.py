"""Held-out numbers of a trained flow, in float64 torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from exported.accuracy import HeldOut
from training.bijections import Chain
from training.chunks import rows_at_once
from training.flow import Flow
from training.prepared import Prepared
from training.streams import Stream
from training.table import Examples

# A mean of fewer rows has no standard error worth the name.
MIN_TEST_ROWS = 2


def full_flow(flow: Flow, prepared: Prepared) -> Flow:
    """Preprocessing and trained layers as one flow on raw modelled columns, in float64."""
    layers = Chain([*prepared.preprocessing.bijections, *flow.bijection.bijections])
    whole = Flow(copy.deepcopy(layers), copy.deepcopy(flow.base)).double().eval()
    return whole.requires_grad_(requires_grad=False)


def log_prob(density: Flow, prepared: Prepared, examples: Examples) -> NDArray[np.float64]:
    """Log-density of rows anywhere on the modelled columns, nats; dequantised or not."""
    x, context = prepared.modelled(examples.rows), prepared.conditions(examples.context)
    step = rows_at_once(x.shape[1])
    parts = [
        density(x[i : i + step], None if context is None else context[i : i + step])
        for i in range(0, len(x), step)
    ]
    return np.asarray(torch.cat([torch.empty(0), *parts]).numpy(), dtype=np.float64)


def served_log_prob(density: Flow, prepared: Prepared, examples: Examples) -> NDArray[np.float64]:
    """Log-density of raw rows as the service gives it: -inf out of support."""
    nats = log_prob(density, prepared, examples)
    return np.where(prepared.in_support(examples), nats, -np.inf)


def held_out(density: Flow, prepared: Prepared) -> HeldOut:
    """Mean log-likelihood of the test rows in support, whole numbers with uniform noise.

    Raises:
        ValueError: If hardly any test row is in support.
    """
    test = prepared.split.test
    inside = prepared.in_support(test)
    if inside.sum() < MIN_TEST_ROWS:
        raise ValueError(
            f"expected at least {MIN_TEST_ROWS} test rows in support, got {inside.sum()} of "
            f"{len(inside)}: a column that is constant in training varies in the test"
        )
    spread = prepared.columns.dequantise(test.rows, prepared.noise(Stream.TEST))
    nats = log_prob(density, prepared, Examples(spread, test.context)[inside])
    mean = float(nats.mean())
    return HeldOut(
        rows=len(nats),
        out_of_support=int((~inside).sum()),
        log_likelihood=mean,
        standard_error=float(nats.std(ddof=1) / np.sqrt(len(nats))),
        log_likelihood_standardised=mean + prepared.columns.log_deviation(),
        bits_per_dimension=_bits_per_dimension(mean, prepared),
    )


def _bits_per_dimension(mean: float, prepared: Prepared) -> float | None:
    """Of images of whole numbers; see :class:`HeldOut`."""
    if prepared.image is None or any(c.kind != "integer" for c in prepared.columns.all):
        return None
    return -mean / (len(prepared.columns.all) * math.log(2.0))


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
    split = prepared.split
    return separated_by(
        lambda rows: served_log_prob(density, prepared, rows), split.test, split.anomalies
    )


def separated_by(
    score: Callable[[Examples], NDArray[np.float64]], test: Examples, anomalies: Examples
) -> Separation | None:
    """Separation by a score that is low for anomalies; None when there are none."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not len(anomalies):
        return None
    is_anomaly = np.arange(len(test) + len(anomalies)) >= len(test)
    # Finite, because scikit-learn takes no infinities; the order is what counts.
    scores = np.concatenate([score(part) for part in (test, anomalies)])
    unlikely = np.minimum(-scores, np.finfo(np.float64).max)
    return Separation(
        anomalies=len(anomalies),
        auroc=float(roc_auc_score(is_anomaly, unlikely)),
        average_precision=float(average_precision_score(is_anomaly, unlikely)),
    )
