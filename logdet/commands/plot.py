"""``logdet plot``: a picture of a density."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from service.model import Model

EXAMPLE = """\b
Examples:
  logdet plot shuttle -o shuttle.png
  logdet plot shuttle -o pairs.pdf --features f1,f3,f9 --data rows.csv
  logdet plot demand -o noon.png --context hour=12,weekday=2
"""
LARGEST_SEED = 2**63 - 1
MAX_SAMPLES = 200_000  # more would be one blot


@click.command(epilog=EXAMPLE, short_help="Draw a picture of a density.")
@model_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The picture: .png, .pdf, .svg, ...",
)
@click.option(
    "--samples",
    type=click.IntRange(2, MAX_SAMPLES),
    default=5000,
    show_default=True,
    help="Rows to draw, and at most as many of the file.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=0,
    show_default=True,
    help="The same seed draws the same rows.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Rows to show beside the samples.")
@click.option("--features", metavar="A,B,...", help="Those to show.  [default: the first six]")
@click.option(
    "--context",
    metavar="NAME=VALUE,...",
    help="What a conditional density is given.  [default: the medians of training]",
)
@click.option("--steps", type=int, help="Of a solver; one of those that the manifest offers.")
@bundles_option
@provider_option
def plot(  # noqa: PLR0913  one parameter an option
    model: Reference,
    output: Path,
    samples: int,
    seed: int,
    data: Path | None,
    features: str | None,
    context: str | None,
    steps: int | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Draw what a density is like.

    Images: a sheet of them. One or two features: the density itself, samples, and latents over the
    base density. More: each feature's histogram and every two features of the samples. Constants
    are not shown; dots of whole numbers are moved within their cells, so that they do not hide
    each other.
    """
    from logdet.errors import user_errors
    from logdet.plots import picture, style
    from logdet.plots.scene import Draw, Scene, choose_axes, drawn, of_file
    from logdet.scoring import open_model

    with user_errors():
        style.check_format(output)
        loaded = open_model(bundles, model, provider)
        axes = choose_axes(loaded, _names(loaded, features))
        draw = Draw(samples, seed, _context(loaded, context), steps)
        given = None if data is None else of_file(loaded, data, draw)
        scene = Scene(loaded, draw, axes, drawn(loaded, draw), given)
        title = picture.title(
            scene, typical=context is None, images=loaded.manifest.image is not None
        )
        style.write(output, title, lambda: picture.paint(scene, loaded.manifest.image))
    for points in (scene.samples, scene.data):
        if points is not None and points.lost:
            click.echo(
                f"logdet: left out {points.lost:,} rows of {points.called} that are not ok",
                err=True,
            )
    click.echo(f"drew {loaded.manifest.name}/{loaded.manifest.version} into {output}")


def _names(model: Model, typed: str | None) -> list[str] | None:
    """The features to show; None for the default."""
    from logdet.errors import UserError

    if typed is None:
        return None
    if model.manifest.image is not None:
        raise UserError(f"expected no --features, as {model.manifest.name} is drawn as images")
    return [name.strip() for name in typed.split(",")]


def _context(model: Model, typed: str | None) -> NDArray[np.float64] | None:
    """The row of context to draw for; the medians where none was typed."""
    from logdet.given import fit_context

    if typed is None:
        return model.conditioning.rules.median[None] if model.conditioning.names else None
    row = fit_context(typed, model)
    model.conditioning.single(row)  # refuses several rows
    return row
