"""What a report says first: anomalies, how many to expect, and whether rows have drifted."""

from __future__ import annotations

import numpy as np

from logdet.report.expected import alarms
from logdet.report.found import Found
from logdet.report.markup import Markup, el, joined, share
from logdet.text import counted


def headline(found: Found) -> Markup:
    """All of it in a few plain sentences."""
    parts: list[str] = [el('span class="big"', _anomalies(found))]
    unknown = int(np.isnan(found.decision.p_value).sum())
    if unknown < len(found.score):
        parts += [_expected(found), " ", _drift(found)]
    if unknown:
        parts.append(
            f" {counted(unknown, 'row has', 'rows have')} no score (see status, at the end)."
        )
    return joined(*parts)


def _anomalies(found: Found) -> Markup:
    rows, anomalies = len(found.score), int(found.decision.is_anomaly.sum())
    are = "is an anomaly" if anomalies == 1 else "are anomalies"
    decision = found.decision
    rate = f"alpha {decision.alpha:g}" if decision.fdr is None else f"fdr {decision.fdr:g}"
    return joined(
        el("b", f"{anomalies:,}"),
        f" of {counted(rows, 'row', 'rows')} {are} at {rate}",
        f" ({share(anomalies / rows)}).",
    )


def _expected(found: Found) -> str:
    decision, known = found.decision, int((~np.isnan(found.decision.p_value)).sum())
    anomalies = int(decision.is_anomaly.sum())
    if decision.fdr is not None:
        false = f"at most {decision.fdr * anomalies:,.0f}"
        if found.drift.is_drift:  # then nothing is promised
            return f"Were the others like the calibration rows, {false} would be false alarms."
        return f"Of these {false} are expected to be false alarms."
    alpha = decision.alpha or 0.0
    low, high = alarms(found.calibration, alpha, known)
    than = "which is what chance gives" if anomalies <= high else "so most are more than chance"
    if anomalies > high and anomalies < 2 * alpha * known:
        than = "so there are more than chance gives"
    return (
        f"Were all rows ordinary, {alpha * known:,.0f} false alarms would be expected, nine times "
        f"out of ten {low:,.0f} to {high:,.0f}: {than}."
    )


def _drift(found: Found) -> Markup:
    drift = found.drift
    if not drift.is_drift:
        return joined(
            "The rows are like the calibration rows: ", el("b", "no drift"), " is found."
        )
    if drift.first_alarm is None:
        where = " when taken together; the windows along the file raise no alarm"
    else:
        where = f": the windows along the file raise an alarm from row {drift.first_alarm:,} on"
    return joined("The rows are ", el("b", "not like the calibration rows"), f"{where}.")
