"""``logdet expect``: means, variances, quantiles and probabilities under a density."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    from exported.manifest import Manifest
    from service.expectation import Expected

EXAMPLE = """\b
Examples:
  logdet expect shuttle --mean f1 --variance f1 --quantile f1=0.99
  logdet expect shuttle --probability 'f1=50:,f2=0:0' -n 1000000 --seed 0
  logdet expect demand --mean kilowatt --context hour=7,weekday=2 --json
"""
DEFAULT_SAMPLES = 100_000
LARGEST_SEED = 2**53 - 1  # survives JSON readers that know only doubles


@click.command(epilog=EXAMPLE, short_help="Means, quantiles and probabilities under a density.")
@model_argument
@click.option("--mean", "means", metavar="FEATURE", multiple=True, help="May be repeated.")
@click.option("--variance", "variances", metavar="FEATURE", multiple=True, help="May be repeated.")
@click.option(
    "--quantile",
    "quantiles",
    metavar="FEATURE=Q",
    multiple=True,
    help="The value that a share Q of rows do not exceed.",
)
@click.option(
    "--probability",
    "probabilities",
    metavar="FEATURE=LOW:HIGH,...",
    multiple=True,
    help="Of all features within their ends; one left out is open.",
)
@click.option(
    "-n",
    "--samples",
    type=click.IntRange(1),
    default=DEFAULT_SAMPLES,
    show_default=True,
    help="Rows to draw.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="The same seed gives the same answers.  [default: drawn and told]",
)
@click.option(
    "--context", metavar="NAME=VALUE,...|FILE", help="The row that a conditional density is given."
)
@click.option("--steps", type=int, help="Of a solver; one of those that the manifest offers.")
@click.option("--json", "as_json", is_flag=True, help="Write the answer as the service does.")
@bundles_option
@provider_option
def expect(  # noqa: PLR0913  one parameter an option
    model: Reference,
    means: tuple[str, ...],
    variances: tuple[str, ...],
    quantiles: tuple[str, ...],
    probabilities: tuple[str, ...],
    samples: int,
    seed: int | None,
    context: str | None,
    steps: int | None,
    as_json: bool,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Estimate expectations under a density from rows drawn of it, each with a standard error.

    The answer of twice as many rows has an error smaller by a factor of 1.4.
    """
    from logdet import expectations
    from logdet.errors import user_errors
    from logdet.given import fit_context
    from logdet.opening import open_flow

    with user_errors():
        entries: list[dict[str, Any]] = [{"mean": name} for name in means]
        entries += [{"variance": name} for name in variances]
        entries += map(expectations.quantile, quantiles)
        entries += map(expectations.probability, probabilities)
        if not entries:
            raise click.UsageError("expected a --mean, --variance, --quantile or --probability")
        loaded = open_flow(bundles, model, provider)
        asked = expectations.questions(entries, loaded.manifest.features)
        given = None if context is None else fit_context(context, loaded)
        drawn = secrets.randbelow(LARGEST_SEED) if seed is None else seed
        expected = expectations.expect(loaded, asked, (samples, drawn), given, steps)
    write = _as_json if as_json else _as_table
    click.echo(write(loaded.manifest, entries, expected))


def _as_json(manifest: Manifest, entries: list[dict[str, Any]], expected: Expected) -> str:
    from logdet.expectations import answered

    answer = {
        "model": manifest.name,
        "version": manifest.version,
        "density": manifest.density,
        "of": answered(entries, expected),
        "samples": expected.samples,
        "excluded": expected.excluded,
        "seed": expected.seed,
    }
    return json.dumps(answer, ensure_ascii=False)


def _as_table(manifest: Manifest, entries: list[dict[str, Any]], expected: Expected) -> str:
    from logdet.expectations import rows
    from logdet.text import aligned

    header = ("", "value ± standard error", "unit")
    lines = rows(entries, expected, manifest.features)
    shown = 3 if any(unit for *_, unit in lines) else 2
    table = aligned([line[:shown] for line in (header, *lines)])
    excluded = f", without {expected.excluded:,} that are not ok" if expected.excluded else ""
    source = f"from {expected.samples:,} rows of {manifest.name}/{manifest.version}"
    return f"{table}\n\n{source}, seed {expected.seed}{excluded}"
