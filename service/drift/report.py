"""What is told of drift: windows of all replicas, added up and held against the calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from service.drift.difference import Difference
from service.drift.sketch import Level, Sketch, State
from service.drift.sums import Sums
from service.drift.windows import LENGTHS

# Of the latents, those with the smallest p-values.
SHOWN_LATENTS = 10
_STATISTICS = ("mean", "mean_square")

Json = dict[str, object]


def report(sketch: Sketch, states: Sequence[State]) -> Json:
    """What all replicas together know, readable by a person.

    There is an alarm where the rows of all replicas together raise one, or those of any.

    Args:
        sketch: Of any replica, for the calibration rows.
        states: Of every replica.
    """
    ordinary, level = sketch.ordinary.sums, sketch.level
    none = Sums.none(ordinary.powers.shape[1])
    merged = [sum((s.windows[place] for s in states), none) for place in range(len(LENGTHS))]
    windows = [
        _window(length, window, ordinary, level)
        for length, window in zip(LENGTHS, merged, strict=True)
    ]
    seen = [state.last for state in states if state.last is not None]
    began = [state.since for state in states if state.since is not None]
    return {
        "alarm": bool(began) or any(window["alarm"] for window in windows),
        "since": min(began, default=None),
        "alarms": sum(state.alarms for state in states),
        "rows": sum(state.rows for state in states),
        "last": max(seen, default=None),
        "calibration_rows": ordinary.scored,
        "alarm_rate": level.rate,
        "alarm_p_value": level.p_value,
        "windows": windows,
        "replicas": [
            {"replica": s.replica, "rows": s.rows, "last": s.last}
            | {"since": s.since, "alarms": s.alarms}
            for s in sorted(states, key=lambda state: state.replica)
        ],
    }


def _window(length: int, window: Sums, ordinary: Sums, level: Level) -> Json:
    found = Difference.of(window, ordinary)
    return {
        "length": length,
        "rows": window.scored,
        "alarm": found.smallest_p <= level.p_value,
        "corrected_p_value": level.corrected(found.smallest_p),
        "score": {
            "shift": found.shift,
            "shift_p_value": found.shift_p,
            "distance": found.distance,
            "distance_p_value": found.distance_p,
            "shares": _shares(window),
            "calibration_shares": _shares(ordinary),
        },
        "latents": list(_latents(window, ordinary, found)),
    }


def _shares(sums: Sums) -> list[float]:
    """Of the rows, between quantiles of the calibration's scores, lowest first."""
    shares: list[float] = np.round(sums.bins / max(sums.scored, 1), 6).tolist()
    return shares


def _latents(window: Sums, ordinary: Sums, found: Difference) -> Iterable[Json]:
    """The latents that differ most surely, first the surest."""
    if not window.encoded:
        return
    mine, theirs = window.powers / window.encoded, ordinary.powers / ordinary.encoded
    for latent in np.argsort(found.latents_p.min(axis=0), kind="stable")[:SHOWN_LATENTS].tolist():
        told: Json = {"latent": f"z{latent}"}
        for place, name in enumerate(_STATISTICS):
            told[name] = float(mine[place, latent])
            told[f"calibration_{name}"] = float(theirs[place, latent])
            told[f"{name}_p_value"] = float(found.latents_p[place, latent])
        yield told
