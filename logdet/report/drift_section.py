"""Drift in a report: which latents and which features have moved."""

from __future__ import annotations

import numpy as np

from exported.manifest import Manifest
from logdet.report.drifting import RATE, Drift
from logdet.report.found import Found
from logdet.report.markup import Markup, el, joined, share
from service.drift.windows import BLOCK_ROWS

_LATENTS, _FEATURES = 5, 24
_CELLS = 48
_FULL = 1.0  # deviations at which a bar and a cell are full


def verdict(drift: Drift) -> Markup:
    """What the tests say, with what they are corrected for."""
    at_once = (
        f"All rows at once: p = {drift.corrected_p_value:.2g} after correction for its tests of "
        f"the scores and of each latent; drift where that is at most {RATE:g}."
    )
    if not drift.alarmed:
        windows = f"No windows along the file: they need {BLOCK_ROWS} rows."
    elif drift.first_alarm is None:
        windows = (
            f"Windows of the last 1,000, 10,000 and 100,000 rows, every {BLOCK_ROWS}: no alarm."
        )
    else:
        alarmed = sum(drift.alarmed) / len(drift.alarmed)
        windows = (
            f"Windows of the last 1,000, 10,000 and 100,000 rows: an alarm first at row "
            f"{drift.first_alarm:,}, and at {share(alarmed)} of the looks."
        )
    shift = f"Rows score {'over' if drift.found.shift > 0 else 'under'} a calibration row in "
    shift += f"{share(0.5 + abs(drift.found.shift))} of all pairs (50 % is no difference)."
    shift += " Anomalies count too: many of them are drift by themselves."
    return el("p", " ".join((at_once, windows, shift)))


def latents(drift: Drift) -> Markup:
    """Those that differ most surely, of all rows at once."""
    if not (drift.whole.encoded and drift.ordinary.encoded):
        return el("p", "This bundle has no latents to look at: drift is of the scores alone.")
    mine = drift.whole.powers / drift.whole.encoded
    theirs = drift.ordinary.powers / drift.ordinary.encoded
    p_value = drift.found.latents_p
    heads = ("latent", "mean", "calibration", "p", "mean square", "calibration", "p")
    body = []
    for j in np.argsort(p_value.min(axis=0), kind="stable")[:_LATENTS].tolist():
        cells = [el("td", f"z{j}")]
        for i in (0, 1):
            p = drift.corrected(float(p_value[i, j]))
            kind = "figure hot" if p <= RATE else "figure"
            cells += [el('td class="figure"', f"{v[i, j]:.3f}") for v in (mine, theirs)]
            cells.append(el(f'td class="{kind}"', f"{p:.1g}"))
        body.append(el("tr", *cells))
    head = el("thead", el("tr", *(el("th", word) for word in heads)))
    return el('div class="scroll"', el('table class="plain"', head, el("tbody", *body)))


def features(found: Found, manifest: Manifest) -> Markup:
    """Mean of each feature less its median in training, in deviations."""
    known = [f for f in manifest.features if f.role == "modelled" and f.deviation is not None]
    if not known:
        return el("p", "This bundle does not tell the deviations of its features.")
    places = [manifest.features.index(f) for f in known]
    median = np.array([f.median for f in known])
    deviation = np.array([f.deviation for f in known], dtype=np.float64)
    shift = (found.mean[places] - median) / deviation
    cells = _cells((found.means[:, places] - median) / deviation)
    order = np.argsort(-np.abs(np.nan_to_num(shift)), kind="stable").tolist()
    lines = [
        _line(known[j].name, float(shift[j]), cells[:, j].tolist()) for j in order[:_FEATURES]
    ]
    more = len(order) - _FEATURES
    rest = [el("p", f"{more} features with smaller shifts are left out.")] if more > 0 else []
    return joined(el('div class="shifts"', *lines), *rest)


def _line(name: str, shift: float, cells: list[float]) -> Markup:
    part = 50.0 * min(1.0, abs(shift) / _FULL) if shift == shift else 0.0
    left = 50.0 if shift >= 0 else 50.0 - part
    bar = el(f'span class="moved" style="left:{left:.1f}%;width:{part:.1f}%"')
    return el(
        'div class="shift"',
        el('span class="what"', name if len(name) <= 40 else f"{name[:39]}…"),
        el('span class="track both"', bar),
        el('span class="nat"', f"{shift:+.2f}".replace("-", "−")),
        _strip(cells),
    )


def _strip(cells: list[float]) -> Markup:
    head = f'svg class="strip" viewBox="0 0 {len(cells)} 1" preserveAspectRatio="none"'
    marks = []
    for i, value in enumerate(cells):
        if value == value:
            strength = min(1.0, abs(value) / _FULL)
            kind = "up" if value > 0 else "down"
            size = 'y="0" width="1.02" height="1"'
            marks.append(el(f'rect class="{kind}" x="{i}" {size} fill-opacity="{strength:.2f}"'))
    return el(head, *marks)


def _cells(stretches: np.ndarray) -> np.ndarray:
    """Stretches of rows in at most so many cells."""
    parts = np.array_split(stretches, min(_CELLS, len(stretches)))
    return np.array([np.mean(part, axis=0) for part in parts])
