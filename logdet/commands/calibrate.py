"""``logdet calibrate``: p-values for the rows of today, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import (
    Reference,
    bundles_option,
    model_argument,
    optional_reference,
    provider_option,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exported.calibration import Calibration
    from logdet.calibrating import Recalibrated
    from logdet.two_samples import Difference

EXAMPLE = """\b
Examples:
  logdet calibrate pumps --data june.csv
  logdet calibrate pumps/1 --data june.parquet --trim 0.02
  logdet calibrate pumps --data june.csv --background anything
"""
# Of scores of one distribution, one file in so many is told to differ.
DIFFERS_AT = 0.01
_HEADINGS = (
    "",
    "calibration rows",
    "smallest alpha",
    "alpha by default",
    "threshold at that alpha",
)


@click.command(epilog=EXAMPLE, short_help="Calibrate a bundle on fresh rows: a new version.")
@model_argument
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="Fresh rows: .csv, .parquet or .npz; - is CSV on standard input.",
)
@click.option(
    "--trim",
    type=click.FloatRange(0.0, 0.5, max_open=True),
    default=0.0,
    metavar="FRACTION",
    help="Leave out this share of the rows, those of the lowest scores.",
)
@click.option(
    "--background",
    metavar="NAME[/VERSION]",
    callback=optional_reference,
    help="Another flow of the same columns, for the score likelihood_ratio.",
)
@bundles_option
@provider_option
def calibrate(
    model: Reference,
    data: Path,
    trim: float,
    background: Reference | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Publish a new version of a bundle whose p-values are those of fresh rows.

    The graphs and the golden rows stay as they are. The rows must have taken no part in training
    or in the choice of the model, and should be ordinary ones; columns are found by name. Rows
    that are not finite or have no answer are left out and counted; rows out of support count as
    the least likely. --trim is for rows with anomalies among them: false alarms then are up to
    FRACTION more where there are none.

    Every score that the bundle has is calibrated. --background adds one, likelihood_ratio: the
    log-density less that of another flow, which is copied into the new version.
    """
    from logdet.beside import read_rows
    from logdet.calibrating import calibrate as calibrate_on
    from logdet.errors import user_errors
    from logdet.opening import open_flow, open_model

    with user_errors():
        loaded = open_model(bundles, model, provider, "score")
        other = None if background is None else open_flow(bundles, background, provider)
        made = calibrate_on(bundles, loaded, read_rows(data, loaded.manifest), trim, other)
    click.echo(_told(made))
    if _difference(made).p_value < DIFFERS_AT:
        click.echo(f"logdet: {_warning(made)}", err=True)


def _told(made: Recalibrated) -> str:
    from logdet.text import aligned

    manifest = made.after.manifest
    named = f"{manifest.name}/{manifest.version}"
    first, *others = made.after.calibrations()
    before, after = made.before.calibrations(), made.after.calibrations()
    columns = [
        (f"before ({made.before.manifest.version})", *_numbers(before[first], _unit(made))),
        (f"after ({manifest.version})", *_numbers(after[first], _unit(made))),
    ]
    thresholds = [
        (f"threshold of {name}", *(_threshold(known, name, made) for known in (before, after)))
        for name in others
    ]
    parts = [
        f"calibrated {named} in {made.folder}",
        aligned(_rows(made)),
        "",
        aligned([*zip(_HEADINGS, *columns, strict=True), *thresholds]),
        "",
        f"next: logdet score {named} FILE",
    ]
    return "\n".join(parts)


def _threshold(known: Mapping[str, Calibration], name: str, made: Recalibrated) -> str:
    """At the alpha by default; nothing of a score that the version before has not."""
    from logdet.decided import unit
    from service.loaded import default_alpha

    if name not in known:
        return "none"
    threshold = known[name].threshold(default_alpha(known[name]))
    return f"{threshold:.4f}{unit(made.after.manifest, name)}"


def _numbers(calibration: Calibration, unit: str) -> tuple[str, ...]:
    from service.loaded import default_alpha

    alpha = default_alpha(calibration)
    return (
        f"{len(calibration.scores):,}",
        f"{calibration.smallest_alpha:.3g}",
        f"{alpha:.3g}",
        f"{calibration.threshold(alpha):.4f} {unit}",
    )


def _rows(made: Recalibrated) -> list[tuple[str, str]]:
    """What became of the rows, and what the version before says of them."""
    summary = made.after.manifest.calibration
    source, trimmed = summary.source, summary.trimmed
    counts = source.rows if source else {}
    given = ", ".join(f"{status} {n:,}" for status, n in counts.items() if n)
    rows = [("rows given", given)]
    if trimmed is not None:
        cut = "out of support" if trimmed.cut is None else f"{trimmed.cut:.4f} {_unit(made)}"
        rows.append(("trimmed", f"{trimmed.rows:,} of the lowest, the lowest left: {cut}"))
    decision = made.decision
    flagged = f"{decision.is_anomaly.mean():.2%} anomalies at alpha {decision.alpha:.3g}"
    version = made.before.manifest.version
    rows.append((f"by version {version}", flagged))
    for name, apart in made.differences.items():
        of = "" if name == made.before.manifest.SCORES else f" of {name}"
        told = f"{apart.statistic:.4f}, p {apart.p_value:.2g}"
        rows.append((f"KS distance{of} from version {version}", told))
    return rows


def _warning(made: Recalibrated) -> str:
    manifest, difference = made.before.manifest, _difference(made)
    return (
        f"these rows are not scored like those that calibrated {manifest.name}/"
        f"{manifest.version} (KS {difference.statistic:.3f}, p {difference.p_value:.2g}): its "
        "p-values do not hold for them, and what it was trained on may be out of date"
    )


def _difference(made: Recalibrated) -> Difference:
    """Of the first score, the one that decides where none is asked for."""
    return made.differences[made.before.manifest.SCORES]


def _unit(made: Recalibrated) -> str:
    return "deviations" if made.after.manifest.density == "none" else "nats"
