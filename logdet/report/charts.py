"""The pictures of a report: scores, p-values and what becomes of them along the file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from logdet.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    across,
    area,
    decades,
    line,
    picture,
    rectangle,
    text,
    upward,
)
from logdet.report.expected import alarms
from logdet.report.found import Found
from logdet.report.markup import Markup, joined, number
from service.drift.windows import BLOCK_ROWS
from service.results import Floats

BINS = 46
_SHARES = (0.0, 0.002, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)
_RATES = 40  # at which alarms are counted
_STRETCHES, _STRETCH_ROWS = 48, 50
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Values = NDArray[np.float64]


def histogram(found: Found) -> Markup:
    """Scores of the rows beside those of the calibration rows, with the threshold."""
    known = found.calibration.scores[np.isfinite(found.calibration.scores)]
    edges = _edges(found, known)
    ours = [(part, kind) for part, kind in _parts(found) if len(part)]
    total = sum(len(part) for part, _ in ours)
    shares = [(_binned(part, edges) / total, kind) for part, kind in ours]
    theirs = _binned(known, edges) / len(known)
    top = float(max([theirs.max(), *(s.max() for s, _ in shares)])) * 1.08
    x = across(float(edges[0]), float(edges[-1]), found.by)
    ticks = [(v, f"{v:.3g}" if v else "0") for v in _SHARES if v <= top]
    ticks = [(v, f"{100 * v:g} %") for v, _ in ticks]
    y = Axis(0.0, top, HEIGHT - BOTTOM, TOP, "sqrt", ticks, "share of rows")
    bars = [bar for s, kind in shares for bar in _bars(edges, s, (x, y), kind)]
    outline = line(_steps(edges, theirs, (x, y)), "known")
    return picture(
        "Scores of the rows and of the calibration rows",
        x,
        y,
        *bars,
        outline,
        _threshold(found, x),
    )


def alarm_plot(found: Found) -> Markup:
    """Share of the rows with a p-value of at most alpha, against alpha."""
    rates, n = _rates(len(found.calibration.scores)), len(found.calibration.scores)
    every = found.decision.p_value
    p_value = np.sort(every[~np.isnan(every)])
    rows = max(len(p_value), 1)
    floor = 0.5 * min(1.0 / rows, 1.0 / (n + 1))
    x = Axis(rates[0], 1.0, LEFT, WIDTH - RIGHT, "log", decades(rates[0], 1.0), "alpha")
    ticks, label = decades(floor, 1.0), "share with p ≤ alpha"
    y = Axis(floor, 1.0, HEIGHT - BOTTOM, TOP, "log", ticks, label)
    marks = [_band(found, rows, (x, y)), line([(x.at(a), y.at(a)) for a in rates], "known dashed")]
    if found.labelled is not None:
        ordinary = np.sort(every[found.labelled.negative & ~np.isnan(every)])
        marks.append(line(_observed(ordinary, rates, (x, y)), "ordinary"))
    marks.append(line(_observed(p_value, rates, (x, y)), "rows"))
    if found.decision.alpha is not None:
        place = x.at(found.decision.alpha)
        marks.append(line([(place, y.start), (place, y.end)], "threshold"))
    return picture("Share of rows with a p-value up to alpha", x, y, *marks)


def _band(found: Found, rows: int, at: tuple[Axis, Axis]) -> Markup:
    """In which the share of ordinary rows is, of nine in ten calibrations."""
    x, y = at
    low, high = [], []
    for alpha in _rates(len(found.calibration.scores)):
        least, most = alarms(found.calibration, alpha, rows)
        low.append((x.at(alpha), y.at(max(least / rows, y.low))))
        high.append((x.at(alpha), y.at(most / rows)))
    return area(high, low, "band")


def along(found: Found) -> Markup:
    """Quantiles of the scores along the file, between those of the calibration."""
    known = found.calibration.scores[np.isfinite(found.calibration.scores)]
    usual = np.quantile(known, _QUANTILES)
    middles, quantiles = _along(found.score)
    low = float(np.nanmin([usual[0], *quantiles[:, 0]]))
    high = float(np.nanmax([usual[-1], *quantiles[:, -1]]))
    room = 0.06 * (high - low) or 1.0
    x = across(0.0, float(len(found.score)), "row")
    y = upward(low - room, high + room, found.by)
    ends = (x.start, x.end)
    marks = [rectangle(ends, (y.at(usual[0]), y.at(usual[-1])), "band")]
    marks.append(line([(end, y.at(usual[2])) for end in ends], "known dashed"))
    place = [x.at(middle) for middle in middles]
    if len(place) == 1:
        place, quantiles = [x.start, x.end], np.repeat(quantiles, 2, axis=0)
    lines = [[(p, y.at(v)) for p, v in zip(place, q, strict=True)] for q in quantiles.T.tolist()]
    marks += [area(lines[0], lines[4], "wide"), area(lines[1], lines[3], "wide")]
    marks += [line(lines[2], "rows"), *_alarmed(found, x, y)]
    return picture("Scores along the file", x, y, *marks)


def _along(score: Floats) -> tuple[list[float], Values]:
    """Middles of stretches of rows, and quantiles of the scores in each that have any."""
    count = max(1, min(_STRETCHES, len(score) // _STRETCH_ROWS))
    middles, quantiles, start = [], [], 0
    for part in np.array_split(score, count):
        finite = part[np.isfinite(part)].astype(np.float64)
        if len(finite):
            middles.append(start + 0.5 * len(part))
            quantiles.append(np.quantile(finite, _QUANTILES))
        start += len(part)
    return middles, np.array(quantiles).reshape(-1, len(_QUANTILES))


def _alarmed(found: Found, x: Axis, y: Axis) -> list[Markup]:
    """Where windows raise an alarm, at the foot."""
    flags = np.array([False, *found.drift.alarmed, False])
    turns = np.flatnonzero(flags[1:] != flags[:-1]) * BLOCK_ROWS
    pairs = zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True)
    foot = (y.start - 5.0, y.start)
    return [rectangle((x.at(start), x.at(end)), foot, "alarm") for start, end in pairs]


def _parts(found: Found) -> list[tuple[Values, str]]:
    """Scores of rows, apart where they have labels."""
    score = found.score.astype(np.float64)
    known = ~np.isnan(score)
    if found.labelled is None:
        return [(score[known], "rows")]
    positive = found.labelled.positive
    return [(score[known & ~positive], "rows"), (score[known & positive], "positive")]


def _edges(found: Found, known: Values) -> Values:
    """Of the bins: what is far below is counted in the lowest."""
    score = found.score[np.isfinite(found.score)].astype(np.float64)
    median, far = np.quantile(known, 0.5), np.quantile(known, 0.001)
    low = min(far, found.decision.threshold or far)
    both = np.concatenate([known, score])
    low = max(float(both.min()), median - 2.2 * (median - low))
    high = max(float(known.max()), float(np.quantile(both, 0.9995)))
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def _binned(scores: Values, edges: Values) -> Values:
    inside = np.clip(scores, edges[0], edges[-1])
    return np.histogram(inside, edges)[0].astype(np.float64)


def _bars(edges: Values, shares: Values, at: tuple[Axis, Axis], kind: str) -> list[Markup]:
    x, y = at
    return [
        rectangle((x.at(edges[i]) + 0.5, x.at(edges[i + 1]) - 0.5), (y.at(s), y.start), kind)
        for i, s in enumerate(shares.tolist())
        if s > 0.0
    ]


def _steps(edges: Values, shares: Values, at: tuple[Axis, Axis]) -> list[tuple[float, float]]:
    x, y = at
    places = [x.at(edge) for edge in edges.tolist()]
    heights = [y.at(s) for s in shares.tolist()]
    tops = [(p, h) for i, h in enumerate(heights) for p in (places[i], places[i + 1])]
    return [(places[0], y.start), *tops, (places[-1], y.start)]


def _threshold(found: Found, x: Axis) -> Markup:
    threshold = found.decision.threshold
    if threshold is None or not np.isfinite(threshold):
        return joined()
    place = x.at(threshold)
    is_left = place < 0.6 * WIDTH
    words, gap = f"threshold {number(threshold)}", 5 if is_left else -5
    return joined(
        rectangle((x.start, place), (TOP, HEIGHT - BOTTOM), "anomalous"),
        line([(place, TOP), (place, HEIGHT - BOTTOM)], "threshold"),
        text(place + gap, TOP + 11, words, "tick strong " + ("start" if is_left else "end")),
    )


def _rates(rows: int) -> list[float]:
    """Every alpha that so few calibration rows tell, thinned evenly on a logarithmic scale."""
    steps = np.unique(np.geomspace(1, rows + 1, _RATES).round().astype(np.int64))
    return [step / (rows + 1) for step in steps.tolist()]


def _observed(
    p_value: Values, rates: Sequence[float], at: tuple[Axis, Axis]
) -> list[tuple[float, float]]:
    x, y = at
    counts = np.searchsorted(p_value, np.array(rates) * (1.0 + 1e-12), side="right")
    shares = counts / max(len(p_value), 1)
    return [(x.at(a), y.at(max(s, y.low))) for a, s in zip(rates, shares.tolist(), strict=True)]
