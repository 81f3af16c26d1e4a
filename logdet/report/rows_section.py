"""The strangest rows of a report, each with what makes it strange and what would not be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exported.manifest import Feature, Manifest
from logdet.explaining import TOLD
from logdet.report.found import Found
from logdet.report.markup import Markup, el, joined, number
from logdet.report.strangest import Why
from service.results import OK, STATUSES, Floats

_KEYS = 3  # columns of the file beside the features
_LONGEST = 40  # characters of a cell
_CHANGES = 4
# Changes smaller than this many deviations are not worth a word.
_HARDLY = 0.05


def strangest(found: Found, manifest: Manifest, label: str | None) -> Markup:
    """As a table, which a narrow page shows as a list."""
    why, places = found.why, found.strangest.place.tolist()
    heads = ["row", found.by, "p-value"]
    heads += ["because, nats"] if why is not None else []
    heads += ["would be no anomaly with"] if why is not None and why.nearest is not None else []
    body = [
        el(
            "tr",
            el('td class="name"', el("b", f"{place + 1:,}"), *_keys(found, manifest, label, i)),
            el('td class="figure"', _score(found, manifest, i)),
            el('td class="figure"', f"{found.decision.p_value[place]:.2g}"),
            *([] if why is None else _reasons(why, manifest, found.strangest.x[i], i)),
        )
        for i, place in enumerate(places)
    ]
    head = el("thead", el("tr", *(el("th", word) for word in heads)))
    return el('table class="strangest"', head, el("tbody", *body))


def _score(found: Found, manifest: Manifest, row: int) -> Markup:
    """The score that decides, and what else is known of it."""
    rows, more = found.strangest, []
    if found.by != manifest.SCORES:
        more.append(f"{manifest.SCORES} {number(float(rows.first[row]), 6)}")
    if rows.status[row] != OK:
        more.append(STATUSES[rows.status[row]].replace("_", " "))
    return joined(number(float(rows.by[row]), 6), *(el("small", words) for words in more))


def _reasons(why: Why, manifest: Manifest, x: Floats, row: int) -> list[Markup]:
    """Why a row is strange and, where it is known, what would make it normal."""
    finite = why.contribution[np.isfinite(why.contribution)]
    longest = max(1.0, float(-finite.min(initial=0.0)))
    cells = [el("td", _because(manifest, x, why.contribution[row], longest))]
    if why.nearest is not None:
        cells.append(el('td class="near"', _near(manifest, x, why, row)))
    return cells


def _keys(found: Found, manifest: Manifest, label: str | None, row: int) -> list[Markup]:
    """Columns that no feature is: what the row is called."""
    features = {feature.name for feature in manifest.features} | {label}
    table = found.strangest.columns
    names = [name for name in table.column_names if name not in features][:_KEYS]
    return [el("small", f"{n} {_short(table.column(n)[row].as_py())}") for n in names]


def _because(manifest: Manifest, x: Floats, contribution: Floats, longest: float) -> Markup:
    worst = [i for i in np.argsort(contribution).tolist() if contribution[i] < 0.0][:TOLD]
    return joined(*(_reason(manifest.features[i], x[i], contribution[i], longest) for i in worst))


def _reason(feature: Feature, value: float, nats: float, longest: float) -> Markup:
    part = min(1.0, -float(nats) / longest)
    bar = el('span class="track"', el(f'span class="nats" style="width:{100 * part:.1f}%"'))
    unit = f" {feature.unit}" if feature.unit else ""
    return el(
        'div class="reason"',
        el('span class="what"', el("b", _short(feature.name)), f" {number(float(value))}{unit}"),
        el("small", f"usually {_usual(feature)}"),
        bar,
        el('span class="nat"', number(float(nats), 3)),
    )


def _usual(feature: Feature) -> str:
    if feature.deviation is not None:
        return f"{number(feature.median)} ± {number(feature.deviation, 3)}"
    low, high = feature.training_range
    return f"{number(low)} to {number(high)}"


def _near(manifest: Manifest, x: Floats, why: Why, row: int) -> Markup:
    if why.nearest is None or why.change is None or np.isnan(why.nearest[row]).all():
        return el("small", "–")
    change, there = np.abs(why.change[row]), why.nearest[row]
    far = np.where(np.isnan(change), np.inf, change)
    changed = [i for i in np.argsort(-far).tolist() if far[i] > _HARDLY]
    lines = [_change(manifest.features[i], x[i], there[i]) for i in changed[:_CHANGES]]
    more = len(changed) - _CHANGES
    rest = [el("small", f"and {more} more")] if more > 0 else []
    return joined(*lines, *rest)


def _change(feature: Feature, before: float, after: float) -> Markup:
    name, way = _short(feature.name), f" {number(float(before))} → {number(float(after))}"
    return el('div class="change"', el("b", name), way)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def note(found: Found, names: Sequence[str]) -> str:
    """What the table's reasons are."""
    if found.why is None:
        return "This kind of model has no reasons to tell: explanations are of flows."
    how = {
        "conditional": "log-density of a feature given those before it, less what is usual",
        "leave_one_out": "log-density of the row less that with the feature at its median",
        "gradient": "slope of the log-density, nats a deviation",
    }[found.why.method]
    return (
        f"Contribution by {found.why.method}: {how}. The {TOLD} lowest of {len(names)} features."
    )
