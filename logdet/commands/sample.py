"""``logdet sample``: draw rows."""

from __future__ import annotations

import math
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    from logdet.files import Columns
    from service.model import Model
    from service.results import Decoded

EXAMPLE = """\b
Examples:
  logdet sample shuttle -n 1000 --seed 0 -o rows.parquet
  logdet sample shuttle -n 5
"""
LARGEST_SEED = 2**63 - 1


def _temperature(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0.0 <= value < math.inf:
        raise click.BadParameter(
            f"expected a finite number of at least 0, got {value}", ctx, param
        )
    return value


@click.command(epilog=EXAMPLE, short_help="Draw rows.")
@model_argument
@click.option("-n", "rows", type=click.IntRange(1), default=1000, show_default=True, help="Rows.")
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    help="The same seed draws the same rows.  [default: drawn and told]",
)
@click.option(
    "--temperature",
    type=float,
    callback=_temperature,
    default=1.0,
    show_default=True,
    help="Multiplies the base noise; 0 draws its middle.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File; CSV on standard output without."
)
@bundles_option
@provider_option
def sample(  # noqa: PLR0913  one parameter an option
    model: Reference,
    rows: int,
    seed: int | None,
    temperature: float,
    output: Path | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Draw rows and write them with the log_prob (nats) of each."""
    from logdet.csv_file import write_csv
    from logdet.errors import user_errors
    from logdet.files import extension, write_table
    from logdet.scoring import open_model

    drawn = secrets.randbelow(LARGEST_SEED + 1) if seed is None else seed
    with user_errors():
        if output is not None:
            extension(output)
        columns = _draw(open_model(bundles, model, provider), rows, drawn, temperature)
        if output is None:
            write_csv(sys.stdout.buffer, columns)
            click.echo(f"seed {drawn}", err=True)
        else:
            write_table(output, columns)
            click.echo(f"drew {rows:,} rows of seed {drawn} into {output}")


def _draw(model: Model, rows: int, seed: int, temperature: float) -> Columns:
    import numpy as np

    from logdet.errors import UserError
    from logdet.frame import MAX_CELLS
    from logdet.scoring import in_chunks, status_counts
    from service.results import OK

    if rows * (len(model.manifest.features) + 1) > MAX_CELLS:
        raise UserError(f"expected at most {MAX_CELLS:,} cells, got {rows:,} rows; draw fewer")
    parts = in_chunks(
        rows,
        lambda start, stop: model.sample(stop - start, seed, temperature, first_row=start).rows,
    )
    status = np.concatenate([part.status for part in parts])
    if (status != OK).any():
        click.echo(f"logdet: not every row is ok: {status_counts(status)}", err=True)
    return _columns(model, parts)


def _columns(model: Model, parts: list[Decoded]) -> Columns:
    import numpy as np

    x = np.concatenate([part.x for part in parts])
    columns = {}
    for j, feature in enumerate(model.manifest.features):
        values = x[:, j]
        whole = feature.kind == "integer" and np.isfinite(values).all()
        columns[feature.name] = values.astype(np.int64) if whole else values
    return columns | {"log_prob": np.concatenate([part.log_prob for part in parts])}
