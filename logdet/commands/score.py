"""``logdet score``: how likely is each row of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from logdet.options import Reference, bundles_option, find, model_argument, provider_option

EXAMPLE = """\b
Examples:
  logdet score shuttle rows.csv
  logdet score shuttle rows.parquet -o scored.parquet --alpha 0.001
  logdet score shuttle rows.parquet --fdr 0.1
  logdet score shuttle rows.csv --by typicality
  logdet score shuttle 'rows/*.parquet' -o scored/
  zcat rows.csv.gz | logdet score shuttle - -o scored.csv
  tail -f rows.ndjson | logdet score shuttle -
"""


@click.command(epilog=EXAMPLE, short_help="Log-density and p-value of each row of a file.")
@model_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE|FOLDER", help=".csv, .parquet or .npz, or a folder.")
@click.option("--alpha", type=float, help="Accepted rate of false alarms; by default 0.01.")
@click.option("--fdr", type=float, help="In place of alpha: share of false among the anomalies.")
@click.option("--by", metavar="SCORE", help="Of a flow: decide by another score than log_prob.")
@click.option("--terms", is_flag=True, help="With -o, also log_prob_FEATURE of each feature.")
@click.option("--explain", is_flag=True, help="Why: nats that each feature contributes.")
@click.option("--method", help="Of --explain: conditional, leave_one_out or gradient.")
@click.option("--nearest", is_flag=True, help="With -o, also the nearest row that is no anomaly.")
@click.option("--workers", type=click.IntRange(min=1), help="With a folder: processes.")
@click.option("--address", help="With a folder: of a Ray cluster, in place of this machine.")
@bundles_option
@provider_option
def score(  # noqa: PLR0913  one parameter an option
    model: Reference,
    files: tuple[str, ...],
    output: str | None,
    alpha: float | None,
    fdr: float | None,
    by: str | None,
    terms: bool,
    explain: bool,
    method: str | None,
    nearest: bool,
    workers: int | None,
    address: str | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> int:
    """Score the rows of FILE (- is standard input) without a server.

    Several files, a folder, a pattern in quotes or a remote address are scored on Ray Data, piece
    by piece, into the folder of -o; what an interrupted run has done is not done again.

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
    (nats; negative makes it less likely), whichever score decides; with -o of all rows as
    contribution_FEATURE, else of the rows shown. With --nearest and -o, of each anomaly by
    log_prob the nearest row that would be none (nearest_FEATURE, log_prob_nearest) and the way
    there in deviations (change_FEATURE).

    On standard input comes CSV, or lines of JSON: objects with the features by name. These are
    answered line by line on standard output as they come, with the object's own fields first.
    """
    from logdet.batch.places import is_many
    from logdet.errors import UserError, user_errors
    from logdet.one_file import Wanted, score_one
    from logdet.opening import open_model

    wanted = Wanted(alpha, fdr, by, terms, explain, method, nearest)
    with user_errors():
        wanted.check()
        if is_many(files, output):
            from logdet.batch.command import Given, score_files

            # Workers load the model themselves, on a device that Ray gives them.
            loaded = open_model(bundles, model, "cpu", "score")
            given = Given(files, output, wanted.settings(provider), workers, address)
            click.echo(score_files(given, find(bundles, model), loaded))
            return 0
        if workers is not None or address is not None:
            raise UserError("expected -o FOLDER with --workers and --address, got no folder")
        loaded = open_model(bundles, model, provider, "score")
        return score_one(loaded, Path(files[0]), None if output is None else Path(output), wanted)
