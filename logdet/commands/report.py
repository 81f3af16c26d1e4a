"""``logdet report``: a file's anomalies, their reasons and drift as one page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

EXAMPLE = """\b
Examples:
  logdet report shuttle today.csv -o today.html
  logdet report shuttle june.parquet -o june.html --fdr 0.1 --rows 20
  logdet report pumps inspected.csv -o inspected.html --label broken --alpha 0.001
"""


@click.command(epilog=EXAMPLE, short_help="A file's anomalies and drift as a page.")
@model_argument
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The page: .html."
)
@click.option("--alpha", type=float, help="Accepted rate of false alarms; by default 0.01.")
@click.option("--fdr", type=float, help="In place of alpha: share of false among the anomalies.")
@click.option("--by", metavar="SCORE", help="Of a flow: decide by another score than log_prob.")
@click.option("--label", metavar="COLUMN", help="Which rows are anomalies, if it is known.")
@click.option("--positive", metavar="VALUE", help="Label of the anomalies.  [default: 1 or true]")
@click.option(
    "--rows",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Most anomalous rows to explain.",
)
@bundles_option
@provider_option
def report(  # noqa: PLR0913  one parameter an option
    model: Reference,
    data: Path,
    output: Path,
    alpha: float | None,
    fdr: float | None,
    by: str | None,
    label: str | None,
    positive: str | None,
    rows: int,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Score the rows of DATA (.csv, .parquet, Arrow) and write one HTML file about them.

    It tells how many rows are anomalies and how many to expect, the scores beside those of the
    calibration, the most anomalous rows with the features that make them so and what would not,
    and whether rows have drifted; with --label how well each score separates the labelled rows.

    The page holds all that it shows: it opens from a folder or a mail, and asks no other machine
    for anything. Files of any size are read in parts; the scores of all rows are kept.
    """
    from logdet.errors import UserError, user_errors
    from logdet.opening import open_model
    from logdet.report.found import Wanted, find
    from logdet.report.page import page

    with user_errors():
        if output.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"expected a page named .html, got {output.name}")
        if not output.parent.is_dir():
            raise UserError(f"there is no folder {output.parent} to write {output.name} in")
        loaded = open_model(bundles, model, provider, "score")
        found = find(loaded, data, Wanted(alpha, fdr, by, label, positive, rows))
        output.write_text(page(found, loaded.manifest, data, label), "utf-8")
    anomalies = int(found.decision.is_anomaly.sum())
    click.echo(f"{output}: {anomalies:,} of {len(found.score):,} rows are anomalies")
