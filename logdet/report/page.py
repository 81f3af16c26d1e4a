"""A report as one file of HTML, which asks nobody for anything."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from exported.manifest import Manifest
from exported.origin import now
from logdet.report import charts, drift_section, rows_section
from logdet.report.found import Found
from logdet.report.markup import Markup, el, joined, share
from logdet.report.words import headline
from logdet.separation import Estimate
from logdet.text import command_line, size
from service.results import STATUSES


def page(found: Found, manifest: Manifest, data: Path, label: str | None) -> str:
    """The whole page.

    Args:
        found: What it tells.
        manifest: Of the model.
        data: The file that was scored.
        label: Its column of labels, if it has one.
    """
    title = f"{data.name} by {manifest.name}/{manifest.version}"
    tone = "calm" if not found.decision.is_anomaly.any() and not found.drift.is_drift else "alert"
    parts = [
        el("h1", title),
        el(f'p class="lead {tone}"', headline(found)),
        el('div class="pair"', _histogram(found), _alarms(found)),
        _strangest(found, manifest, label),
        _drift(found, manifest),
        *([] if found.labelled is None else [_labels(found)]),
        _facts(found, manifest, data),
    ]
    template = Template((files("logdet.report") / "page.html").read_text("utf-8"))
    return template.substitute(title=joined(title), tone=tone, body=joined(*parts))


def _histogram(found: Found) -> Markup:
    legend = [("rows", "the rows"), ("known", "calibration rows")]
    if found.labelled is not None:
        legend.insert(1, ("positive", "labelled anomalies"))
    roots = "Shares are drawn by their square roots, so that few rows show."
    note = f"{roots} Scores further down are in the first bar."
    return _section("scores", "Scores", charts.histogram(found), _legend(legend), _note(note))


def _alarms(found: Found) -> Markup:
    legend = [("rows", "the rows"), ("band", "nine of ten calibrations, all rows ordinary")]
    if found.labelled is not None:
        legend.insert(1, ("ordinary", "labelled ordinary"))
    note = "Above the band there are more small p-values than ordinary rows would have."
    return _section(
        "calibration", "Calibration", charts.alarm_plot(found), _legend(legend), _note(note)
    )


def _strangest(found: Found, manifest: Manifest, label: str | None) -> Markup:
    names = [feature.name for feature in manifest.features]
    return _section(
        "rows",
        "Most anomalous rows",
        _note(rows_section.note(found, names)),
        rows_section.strangest(found, manifest, label),
    )


def _drift(found: Found, manifest: Manifest) -> Markup:
    legend = [("rows", "median, middle half and nine tenths"), ("band", "of the calibration")]
    legend += [("alarm", "windows with an alarm")] if any(found.drift.alarmed) else []
    means = "Mean less the median in training, in deviations: of all rows, and along the file."
    skewed = "Full at one deviation; red is over it, blue under it. Skew is no drift."
    return _section(
        "drift",
        "Drift",
        drift_section.verdict(found.drift),
        el(
            'div class="pair"',
            el("div", charts.along(found), _legend(legend)),
            el("div", el("h3", "Latents"), drift_section.latents(found.drift)),
        ),
        el("h3", "Features"),
        _note(f"{means} {skewed}"),
        drift_section.features(found, manifest),
    )


def _labels(found: Found) -> Markup:
    if found.labelled is None:
        return joined()
    scores = found.labelled.scores
    rates = [d.alpha for d in next(iter(scores.values())).decided]
    heads = ["score", "AUROC", "average precision"]
    heads += [f"{what} at {a:g}" for a in rates for what in ("false alarms", "power")]
    body = [
        el(
            "tr",
            el("td", el("b", name) if name == found.by else name),
            el("td", _estimate(one.auroc)),
            el("td", _estimate(one.average_precision)),
            *(el("td", share(v)) for d in one.decided for v in (d.false_alarms, d.power)),
        )
        for name, one in scores.items()
    ]
    positive, negative = found.labelled.positive.sum(), found.labelled.negative.sum()
    counts = f"{positive:,} rows are labelled anomalies, {negative:,} ordinary."
    table = el(
        'table class="plain"',
        el("thead", el("tr", *(el("th", h) for h in heads))),
        el("tbody", *body),
    )
    return _section("labels", "Against the labels", _note(counts), el('div class="scroll"', table))


def _estimate(one: Estimate) -> str:
    return f"{one.value:.4f} ± {one.standard_error:.4f}"


def _facts(found: Found, manifest: Manifest, data: Path) -> Markup:
    decision, status = found.decision, found.status
    counts = [(word, int((status == code).sum())) for code, word in enumerate(STATUSES)]
    facts = [
        (
            "model",
            f"{manifest.name}/{manifest.version} ({manifest.family}, density {manifest.density})",
        ),
        ("decided by", found.by),
        ("alpha", "none" if decision.alpha is None else f"{decision.alpha:g}"),
        *([] if decision.fdr is None else [("fdr", f"{decision.fdr:g}")]),
        ("threshold", "none" if decision.threshold is None else f"{decision.threshold:.4f}"),
        ("calibration", f"{len(found.calibration.scores):,} rows, SHA-256 {decision.calibration}"),
        ("status", ", ".join(f"{word} {n:,}" for word, n in counts if n)),
        ("data", f"{data.name}, {size(data.stat().st_size)}, SHA-256 {digest(data)}"),
        ("made", f"{now()} by logdet {version('logdet')}"),
        ("command", el("code", command_line())),
    ]
    pairs = [part for name, value in facts for part in (el("dt", name), el("dd", value))]
    return _section("facts", "For the record", el("dl", *pairs))


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _section(name: str, title: str, *children: str) -> Markup:
    return el(f'section id="{name}"', el("h2", title), *children)


def _legend(entries: list[tuple[str, str]]) -> Markup:
    spans = [el("span", el(f'i class="{kind}"'), words) for kind, words in entries]
    return el('div class="legend"', *spans)


def _note(words: str) -> Markup:
    return el('p class="note"', words)
