"""What would make an anomaly normal: the nearest row that is none, by shrinking its latent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exported.base import base_centre
from service.model import Model
from service.reasons import Rows
from service.results import OK, OUT_OF_SUPPORT, Evaluated, Floats
from service.ways import Ask, Steps, given_with

# Halvings of the interval in which the share of the latent that may stay is looked for.
HALVINGS = 8
# Of an anomaly, so many at most: where only the centre may stay, all, and in between.
RUNS = 1 + HALVINGS


class Nearest(NamedTuple):
    """For each row the nearest one that is no anomaly.

    Attributes:
        x: Shape ``(rows, features)``, in the user's units, as a table would hold it; NaN where a
            row is no anomaly or none was found.
        log_prob: Shape ``(rows,)``, nats, of ``x``; NaN likewise.
        change: Shape ``(rows, features)``, from the row to ``x``, in deviations of the features;
            of a feature that has none 0 where nothing changes, else NaN.
    """

    x: Floats
    log_prob: Floats
    change: Floats


def nearest(
    model: Model, rows: Rows, threshold: float | None, is_anomaly: NDArray[np.bool_]
) -> Steps[Nearest]:
    r"""Rows :math:`x(\lambda)` decoded from :math:`c + \lambda (z - c)`, scored as emitted.

    The share :math:`\lambda` is the largest that bisection finds whose row reaches the threshold;
    :math:`c` is the centre of the base. A row out of support is first moved to the nearest values
    in support, which may be enough.
    """
    kind = np.float64 if model.rules.constant.any() else np.float32
    x, log_prob = np.full(rows.x.shape, np.nan, kind), np.full(len(rows.x), np.nan, np.float32)
    places = np.flatnonzero(is_anomaly)
    if len(places) and threshold is not None:
        anomalies = rows.only(places)
        moved = yield from _into_support(model, anomalies)
        is_found = (moved.status == OK) & (moved.log_prob >= threshold)
        x[places[is_found]] = moved.x[is_found]
        log_prob[places[is_found]] = moved.log_prob[is_found]
        left = (moved.status == OK) & ~is_found
        found = yield from _shrunk(model, moved.only(left), threshold)
        x[places[left]], log_prob[places[left]] = found
    return Nearest(x, log_prob, _change(model, rows.x, x))


def _into_support(model: Model, rows: Rows) -> Steps[Rows]:
    """The rows, those out of support at the nearest values in it."""
    places = np.flatnonzero(rows.status == OUT_OF_SUPPORT)
    if not len(places):
        return rows
    outside = rows.only(places)
    x = np.clip(model.rules.round(outside.x), model.rules.low, model.rules.high)
    out = Evaluated(*(yield Ask("evaluate", len(x), given_with(x, outside.context))))
    moved = Rows(*(None if part is None else part.copy() for part in rows))  # type: ignore[arg-type]
    moved.x[places], moved.log_prob[places] = x, out.log_prob
    moved.z[places], moved.status[places] = out.z, out.status
    return moved


def _shrunk(model: Model, rows: Rows, threshold: float) -> Steps[tuple[Floats, Floats]]:
    """Row and log-density at the largest share found; NaN where even the centre is an anomaly."""
    if not len(rows.x):
        return rows.x, rows.log_prob
    z = rows.z.astype(np.float64)
    centre = base_centre(model.manifest.base, z)
    low, high = np.zeros(len(z)), np.ones(len(z))
    x, log_prob = np.full(rows.x.shape, np.nan), np.full(len(z), np.nan)
    share = low
    for _ in range(RUNS):
        latents = centre + share[:, None] * (z - centre)
        out = yield Ask("emit", len(z), given_with(latents, rows.context))
        is_normal = (out[2] == OK) & (out[1] >= threshold)
        x[is_normal], log_prob[is_normal] = out[0][is_normal], out[1][is_normal]
        low, high = np.where(is_normal, share, low), np.where(is_normal, high, share)
        share = 0.5 * (low + high)
    return x, log_prob


def _change(model: Model, before: Floats, after: Floats) -> Floats:
    deviations = [feature.deviation or np.nan for feature in model.manifest.features]
    difference = after - before
    change = np.where(difference == 0.0, 0.0, difference / np.array(deviations))
    return change.astype(np.float32)
