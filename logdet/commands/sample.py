"""``logdet sample``: draw rows."""

from __future__ import annotations

import math
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from exported.manifest import Feature
    from logdet.files import Columns
    from service.model import Model
    from service.results import Decoded, Drawn, Floats
    from service.vae import VAE

EXAMPLE = """\b
Examples:
  logdet sample shuttle -n 1000 --seed 0 -o rows.parquet
  logdet sample shuttle -n 5
  logdet sample demand -n 100 --context hour=7,weekday=2
"""
DEFAULT_ROWS = 1000
LARGEST_SEED = 2**63 - 1


def _temperature(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0.0 <= value < math.inf:
        raise click.BadParameter(
            f"expected a finite number of at least 0, got {value}", ctx, param
        )
    return value


@click.command(epilog=EXAMPLE, short_help="Draw rows.")
@model_argument
@click.option(
    "-n",
    "rows",
    type=click.IntRange(1),
    help=f"Rows.  [default: {DEFAULT_ROWS}, or one for each of a context of several]",
)
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
@click.option(
    "--context",
    metavar="NAME=VALUE,...|FILE",
    help="What a conditional density is given: one row for all, or a file with one for each.",
)
@click.option("--steps", type=int, help="Of a solver; one of those that the manifest offers.")
@bundles_option
@provider_option
def sample(  # noqa: PLR0913  one parameter an option
    model: Reference,
    rows: int | None,
    seed: int | None,
    temperature: float,
    output: Path | None,
    context: str | None,
    steps: int | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Draw rows and write them, those of a flow with the log_prob (nats) of each.

    Rows of a conditional density come with the context that they were drawn for. A VAE tells no
    log_prob of its rows; logdet bound gives lower bounds on it.
    """
    from logdet.csv_file import write_csv
    from logdet.errors import user_errors
    from logdet.files import extension, write_table
    from logdet.given import refuse_given
    from logdet.opening import open_model
    from service.vae import VAE

    drawn = secrets.randbelow(LARGEST_SEED + 1) if seed is None else seed
    with user_errors():
        if output is not None:
            extension(output)
        loaded = open_model(bundles, model, provider, "sample")
        if isinstance(loaded, VAE):
            refuse_given(loaded.manifest, context, steps)
            count, given = rows or DEFAULT_ROWS, None
        else:
            count, given = _rows(loaded, context, rows)
        columns = _draw(loaded, Draw(count, drawn, temperature, steps, given))
        if output is None:
            write_csv(sys.stdout.buffer, columns)
            click.echo(f"seed {drawn}", err=True)
        else:
            write_table(output, columns)
            click.echo(f"drew {count:,} rows of seed {drawn} into {output}")


@dataclass(frozen=True, slots=True)
class Draw:
    """What is to be drawn.

    Attributes:
        rows: How many.
        seed: Of the base noise.
        temperature: Its factor.
        steps: Of a solver; None is the model's default.
        context: Shape ``(rows, context_features)``; None for an unconditional density.
    """

    rows: int
    seed: int
    temperature: float
    steps: int | None
    context: Floats | None


def _rows(model: Model, context: str | None, rows: int | None) -> tuple[int, Floats | None]:
    """How many rows to draw, and a context row for each."""
    from logdet.given import fit_context

    given = None if context is None else fit_context(context, model)
    if rows is None:
        rows = DEFAULT_ROWS if given is None or len(given) == 1 else len(given)
    return rows, model.conditioning.spread(given, rows)


def _draw(model: Model | VAE, draw: Draw) -> Columns:
    import numpy as np

    from logdet.errors import UserError
    from logdet.frame import MAX_CELLS
    from logdet.scoring import in_chunks, status_counts
    from service.results import OK, Decoded

    manifest, rows = model.manifest, draw.rows
    if rows * (len(manifest.features + manifest.context_features) + 1) > MAX_CELLS:
        raise UserError(f"expected at most {MAX_CELLS:,} cells, got {rows:,} rows; draw fewer")
    parts = in_chunks(model, rows, lambda start, stop: _part(model, draw, start, stop))
    status = np.concatenate([part.status for part in parts])
    if (status != OK).any():
        click.echo(f"logdet: not every row is ok: {status_counts(status)}", err=True)
    columns = _named(manifest.features, np.concatenate([part.x for part in parts]))
    if draw.context is not None:
        columns |= _named(manifest.context_features, draw.context)
    known = [part.log_prob for part in parts if isinstance(part, Decoded)]
    return columns | ({"log_prob": np.concatenate(known)} if known else {})


def _part(model: Model | VAE, draw: Draw, start: int, stop: int) -> Decoded | Drawn:
    """Rows ``start`` to ``stop`` of all that are drawn."""
    from service.model import Model

    count = stop - start
    if not isinstance(model, Model):
        return model.sample(count, draw.seed, draw.temperature, start)
    given = None if draw.context is None else draw.context[start:stop]
    return model.sample(count, draw.seed, draw.temperature, start, given, draw.steps).rows


def _named(features: Sequence[Feature], x: Floats) -> dict[str, NDArray[np.generic]]:
    import numpy as np

    columns: dict[str, NDArray[np.generic]] = {}
    for j, feature in enumerate(features):
        values = x[:, j]
        whole = feature.kind == "integer" and np.isfinite(values).all()
        columns[feature.name] = values.astype(np.int64) if whole else values
    return columns
