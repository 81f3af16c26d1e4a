"""``logdet evaluate``: how well do the scores of a bundle separate labelled rows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exported.manifest import Manifest
    from logdet.evaluating import Evaluation
    from logdet.separation import Estimate, Separation

EXAMPLE = """\b
Examples:
  logdet evaluate pumps --data inspected.csv --label broken
  logdet evaluate pumps --data inspected.parquet --label state --positive worn --json
"""


@click.command(epilog=EXAMPLE, short_help="How well each score separates labelled rows.")
@model_argument
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="Labelled rows: .csv, .parquet or .npz; - is CSV on standard input.",
)
@click.option("--label", required=True, metavar="COLUMN", help="Which rows are anomalies.")
@click.option("--positive", metavar="VALUE", help="Label of the anomalies.  [default: 1 or true]")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@bundles_option
@provider_option
def evaluate(  # noqa: PLR0913  one parameter an option
    model: Reference,
    data: Path,
    label: str,
    positive: str | None,
    as_json: bool,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Hold every score of a bundle against labels.

    Told of each: the area under the receiver operating characteristic and the average precision,
    with standard errors of a bootstrap; the share of negative rows (false alarms) and of positive
    ones (power) with a p-value up to 0.01 and 0.05; and the gain in area over the first score.
    Rows without a label or an answer are left out and counted. Rows that chose nothing should be
    judged: a score chosen here has its figures from the rows that it was chosen on.
    """
    from logdet.beside import read_rows
    from logdet.errors import user_errors
    from logdet.evaluating import evaluate as evaluate_on
    from logdet.labels import labels
    from logdet.opening import open_model

    with user_errors():
        loaded = open_model(bundles, model, provider, "score")
        given = read_rows(data, loaded.manifest)
        if label in given.names:
            named = f"{loaded.manifest.name}/{loaded.manifest.version}"
            click.echo(
                f"logdet: {label} is a column of {named}: its scores are made with the label",
                err=True,
            )
        found = evaluate_on(loaded, given, *labels(given.frame, label, positive))
    click.echo((_as_json if as_json else _as_table)(loaded.manifest, found))


def _as_json(manifest: Manifest, found: Evaluation) -> str:
    told: dict[str, Any] = {"model": manifest.name, "version": manifest.version}
    told |= {"positive": found.positive, "negative": found.negative, "left_out": found.left_out}
    scores = {name: {**asdict(one), "differs": one.differs} for name, one in found.scores.items()}
    return json.dumps({**told, "best": found.best, "scores": scores})


def _as_table(manifest: Manifest, found: Evaluation) -> str:
    from logdet.text import aligned

    first = next(iter(found.scores.values()))
    rates = [f"{what} at {d.alpha:g}" for d in first.decided for what in ("false alarms", "power")]
    rows = [("", "AUROC", "average precision", *rates)]
    rows += [(name, *_cells(one)) for name, one in found.scores.items()]
    left = f", {found.left_out:,} left out" if found.left_out else ""
    return (
        f"{aligned(rows)}\n\n{manifest.name}/{manifest.version}: {found.positive:,} positive and "
        f"{found.negative:,} negative rows{left}\n{_sentence(found.scores, found.best)}"
    )


def _cells(one: Separation) -> tuple[str, ...]:
    rates = [rate for d in one.decided for rate in (d.false_alarms, d.power)]
    return (
        _estimate(one.auroc),
        _estimate(one.average_precision),
        *(f"{rate:.2%}" for rate in rates),
    )


def _sentence(scores: Mapping[str, Separation], best: str) -> str:
    first, one = next(iter(scores)), scores[best]
    if len(scores) == 1:
        return f"{best} is its only score"
    as_good = [name for name in scores if scores[name].auroc.value == one.auroc.value]
    wins = f"{best} separates best" if as_good == [best] else f"none separates better than {best}"
    if best == first:
        return wins
    told = "beyond its error" if one.differs else "within its error"
    gain = f"{one.gain.value:.4f} ± {one.gain.standard_error:.4f}"
    return f"{wins}: AUROC {gain} over {first}, which is {told}"


def _estimate(found: Estimate) -> str:
    return f"{found.value:.4f} ± {found.standard_error:.4f}"
