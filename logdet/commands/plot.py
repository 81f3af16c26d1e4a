"""``logdet plot``: a picture of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from logdet.plots.flow_scene import FlowScene
    from logdet.plots.latent_scene import LatentScene
    from logdet.plots.scene import Draw
    from service.kinds import AnyModel
    from service.model import Model

EXAMPLE = """\b
Examples:
  logdet plot shuttle -o shuttle.png
  logdet plot shuttle -o pairs.pdf --features f1,f3,f9 --data rows.csv
  logdet plot demand -o noon.png --context hour=12,weekday=2
"""
LARGEST_SEED = 2**63 - 1
MAX_SAMPLES = 200_000  # more would be one blot


@click.command(epilog=EXAMPLE, short_help="Draw a picture of a model.")
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
    """Draw what a model is like.

    Images: a sheet of them. One or two features: the density itself, samples, and latents over the
    base density. More: each feature's histogram and every two features of the samples. Constants
    are not shown; dots of whole numbers are moved within their cells, so that they do not hide
    each other.

    A VAE: its samples beside the file's rows, images also over what comes back of them, and, where
    its posterior has a choice of depths, the bound of each against its time. An autoencoder needs
    --data and shows the rows with what comes back of them.
    """
    from logdet.errors import user_errors
    from logdet.opening import open_any
    from logdet.plots import picture, style
    from logdet.plots.scene import Draw, choose_axes

    with user_errors():
        style.check_format(output)
        loaded = open_any(bundles, model, provider)
        axes = choose_axes(loaded, _names(loaded, features))
        scene = _scene(loaded, Draw(samples, seed, None, steps), axes, context, data)
        image = loaded.manifest.image
        title = picture.title(scene, typical=context is None, images=image is not None)
        style.write(output, title, lambda: picture.paint(scene, image))
    for points in (scene.samples, scene.data):
        if points is not None and points.lost:
            click.echo(
                f"logdet: left out {points.lost:,} rows of {points.called} that are not ok",
                err=True,
            )
    click.echo(f"drew {loaded.manifest.name}/{loaded.manifest.version} into {output}")


def _scene(
    model: AnyModel, draw: Draw, axes: tuple[int, ...], context: str | None, data: Path | None
) -> FlowScene | LatentScene:
    """What is shown, at the context that was typed."""
    from logdet.given import refuse_given
    from logdet.plots.flow_scene import FlowScene, drawn, of_file
    from logdet.plots.latent_scene import latent_scene
    from service.model import Model

    if not isinstance(model, Model):
        refuse_given(model.manifest, context, draw.steps)
        return latent_scene(model, draw, axes, data)
    draw = replace(draw, context=_context(model, context))
    given = None if data is None else of_file(model, data, draw)
    return FlowScene(model, draw, axes, drawn(model, draw), given)


def _names(model: AnyModel, typed: str | None) -> list[str] | None:
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
