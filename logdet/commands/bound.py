"""``logdet bound``: lower bounds on the log-density of each row of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

EXAMPLE = """\b
Examples:
  logdet bound digits_vae rows.csv --samples 5000 --seed 0
  logdet bound digits_vae rows.npz --depth 4 -o bounds.parquet
"""


@click.command(epilog=EXAMPLE, short_help="Lower bounds on the log-density of each row, by a VAE.")
@model_argument
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--samples", type=int, help="Of each row.  [default: as many as scores have]")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="The same seed gives the same bounds.  [default: drawn and told]",
)
@click.option(
    "--depth", type=int, help="Of the posterior's flow; one of those that the manifest offers."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help=".csv, .parquet or .npz.")
@bundles_option
@provider_option
def bound(  # noqa: PLR0913  one parameter an option
    model: Reference,
    file: Path,
    samples: int | None,
    seed: int | None,
    depth: int | None,
    output: Path | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Bound the log-density of the rows of FILE (- is CSV on standard input) from below.

    Columns are found by name, in any order. With -o, the file's columns are written with elbo,
    elbo_standard_error, importance_bound, standard_error (nats), effective_sample_size and
    status; without it, a summary is printed. The importance bound rises to the log-density with
    the samples; where few of them carry it (a small effective sample size) it is still rising.
    """
    from logdet.beside import check_output, read_rows, write_beside
    from logdet.bounding import bound as bound_rows
    from logdet.bounding import summary
    from logdet.errors import user_errors
    from logdet.opening import open_model
    from logdet.text import counted

    with user_errors():
        check_output(file, output)
        loaded = open_model(bundles, model, provider, "log_prob_bound")
        given = read_rows(file, loaded.manifest)
        bounds = bound_rows(loaded, given.x, samples, seed, depth)
        if output is None:
            click.echo(summary(bounds, given.frame))
        else:
            write_beside(given, bounds.columns(), output)
            rows = counted(len(given.x), "row", "rows")
            click.echo(f"bounded {rows} into {output}: {bounds.drawn()}")
