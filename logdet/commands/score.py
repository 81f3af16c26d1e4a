"""``logdet score``: how likely is each row of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exported.manifest import Manifest
    from logdet.frame import Frame
    from logdet.scoring import Scores
    from service.results import Decision

EXAMPLE = """\b
Examples:
  logdet score shuttle rows.csv
  logdet score shuttle rows.parquet -o scored.parquet --alpha 0.001
  logdet score shuttle rows.parquet --fdr 0.1
  logdet score shuttle rows.csv --by typicality
  zcat rows.csv.gz | logdet score shuttle - -o scored.csv
"""
MOST_ANOMALOUS = 5


@click.command(epilog=EXAMPLE, short_help="Log-density and p-value of each row of a file.")
@model_argument
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-o", "--output", type=click.Path(path_type=Path), help=".csv, .parquet or .npz.")
@click.option("--alpha", type=float, help="Accepted rate of false alarms; by default 0.01.")
@click.option("--fdr", type=float, help="In place of alpha: share of false among the anomalies.")
@click.option("--by", metavar="SCORE", help="Of a flow: decide by another score than log_prob.")
@click.option("--terms", is_flag=True, help="With -o, also log_prob_FEATURE of each feature.")
@click.option("--explain", is_flag=True, help="Why: nats that each feature contributes.")
@click.option("--method", help="Of --explain: conditional, leave_one_out or gradient.")
@click.option("--nearest", is_flag=True, help="With -o, also the nearest row that is no anomaly.")
@bundles_option
@provider_option
def score(  # noqa: PLR0913  one parameter an option
    model: Reference,
    file: Path,
    output: Path | None,
    alpha: float | None,
    fdr: float | None,
    by: str | None,
    terms: bool,
    explain: bool,
    method: str | None,
    nearest: bool,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Score the rows of FILE (- is CSV on standard input) without a server.

    Columns, those of a conditional density's context among them, are found by name, in any
    order. With -o, the file's columns are written with log_prob
    (nats), p_value, is_anomaly and status; without it, a summary is printed. A row without an
    answer has a null (in CSV an empty cell) as is_anomaly; .npz has no nulls, there it is False
    beside a p_value of NaN.

    With --fdr all rows are judged together: of the rows called anomalies, an expected share of at
    most so many is a false alarm. The rate alpha that follows is told with the threshold.

    A VAE and an autoencoder have score in place of log_prob: the importance bound (nats) of the
    samples and the seed that it was calibrated at, or the error of reconstruction (deviations)
    with its sign turned.

    With --by the decision is by typicality, latent_norm, likelihood_ratio or combined, of those
    that the flow has; log_prob is told all the same, and score beside it.

    A model that keeps one feature order (maf or nsf_ar with mixing: false) also knows --terms: the
    log-density of each feature given those before it; a row's terms sum to its log_prob.

    A flow also tells reasons: with --explain what each feature contributes to a row's log-density
    (nats; negative makes it less likely), with -o of all rows as contribution_FEATURE, else of the
    rows shown. With --nearest and -o, of each anomaly the nearest row that would be none
    (nearest_FEATURE, log_prob_nearest) and the way there in deviations (change_FEATURE).
    """
    from logdet.beside import check_output, read_rows, write_beside
    from logdet.errors import user_errors
    from logdet.every_score import score_by
    from logdet.explaining import Asked
    from logdet.opening import open_model
    from logdet.scoring import lowest
    from logdet.scoring import score as score_rows

    with user_errors():
        _refuse_odd(output, by, terms=terms, explain=explain, method=method, nearest=nearest)
        check_output(file, output)
        loaded = open_model(bundles, model, provider, "score")
        asked = Asked.of(loaded, explain=explain, method=method, nearest=nearest)
        given = read_rows(file, loaded.manifest)
        if by is not None:
            scores = score_by(loaded, by, given.x, (alpha, fdr), given.context)
        else:
            scores = score_rows(loaded, given.x, alpha, given.context, terms, fdr)
        if output is None:
            worst = lowest(scores.score, MOST_ANOMALOUS)
            why = asked.reasons(loaded, given.x, given.context, scores, worst)
            click.echo(_summary(scores, given.frame, loaded.manifest, why))
        else:
            more = asked.columns(loaded, given.x, given.context, scores)
            write_beside(given, scores.columns() | more, output)
            click.echo(_sentence(scores, output, loaded.manifest))


def _refuse_odd(
    output: Path | None,
    by: str | None,
    *,
    terms: bool,
    explain: bool,
    method: str | None,
    nearest: bool,
) -> None:
    """Refuse options that do not go together."""
    from logdet.errors import UserError

    for option, is_set in (("--terms", terms), ("--nearest", nearest)):
        if is_set and output is None:
            raise UserError(f"expected -o FILE for the columns of {option}, got no -o")
        if is_set and by is not None:
            raise UserError(f"expected {option} or --by, got both")
    if method is not None and not explain:
        raise UserError("expected --explain beside --method, got --method alone")


def _sentence(scores: Scores, output: Path, manifest: Manifest) -> str:
    from logdet.text import counted

    rows, decision = counted(len(scores.score), "row", "rows"), scores.decision
    anomalies = counted(int(decision.is_anomaly.sum()), "anomaly", "anomalies")
    return (
        f"scored {rows} into {output}: {anomalies} {_rate(decision)}, "
        f"threshold {_threshold(scores, manifest)}{_by(scores)}, "
        f"by {manifest.name}/{manifest.version}, calibration {decision.calibration}"
    )


def _rate(decision: Decision) -> str:
    """What was asked for, and the alpha that follows where it was an fdr."""
    alpha = None if decision.alpha is None else f"alpha {decision.alpha:g}"
    fdr = None if decision.fdr is None else f"fdr {decision.fdr:g}"
    return f"at {', '.join(rate for rate in (fdr, alpha) if rate)}"


def _by(scores: Scores) -> str:
    return "" if scores.by is None else f" of {scores.by}"


def _threshold(scores: Scores, manifest: Manifest) -> str:
    threshold = scores.decision.threshold
    return "none" if threshold is None else f"{threshold:.4f}{_unit(scores, manifest)}"


def _unit(scores: Scores, manifest: Manifest) -> str:
    """Behind a number; a squared norm and a sum of logarithms have none."""
    if scores.by in ("latent_norm", "combined"):
        return ""
    return " deviations" if manifest.density == "none" else " nats"


def _summary(scores: Scores, frame: Frame, manifest: Manifest, reasons: Sequence[str]) -> str:
    import numpy as np

    from logdet.scoring import lowest, status_counts, status_names
    from logdet.text import aligned

    ok = scores.score[scores.status == 0]
    decision, unit = scores.decision, _unit(scores, manifest)
    mean = f"{ok.mean(dtype=np.float64):.4f}{unit}" if len(ok) else "none, as no row is ok"
    facts = [
        ("model", f"{manifest.name}/{manifest.version}"),
        ("rows", f"{len(scores.score):,}"),
        ("status", status_counts(scores.status)),
        (f"mean {scores.by or scores.called}", mean),
        ("anomalies", f"{decision.is_anomaly.sum():,} {_rate(decision)}"),
        ("calibration", decision.calibration),
        ("threshold", _threshold(scores, manifest)),
    ]
    worst = lowest(scores.score, MOST_ANOMALOUS)
    words = status_names(scores.status)
    rows = [
        [place, f"{scores.score[r]:.4f}", f"{decision.p_value[r]:.2g}", words[r]]
        for place, r in zip(frame.places(worst), worst, strict=True)
    ]
    if not rows:
        return aligned(facts)
    least = "least likely" if scores.called == "log_prob" else "lowest score"
    header = [least, scores.called, "p_value", "status"]
    if reasons:
        header.append("because (nats)")
        rows = [[*row, reason] for row, reason in zip(rows, reasons, strict=True)]
    return f"{aligned(facts)}\n\n{aligned([header, *rows])}"
