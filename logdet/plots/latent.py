"""A picture of a VAE or an autoencoder, in panels side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure, FigureBase

from logdet.frame import Image
from logdet.plots.depth import trade_off
from logdet.plots.images import INCHES, TITLE_INCHES, Look, pair_sheet, sheet
from logdet.plots.latent_scene import LatentScene
from logdet.plots.line import histograms
from logdet.plots.pairs import draw_pairs, side
from logdet.plots.plane import scatter
from service.vae import VAE

_PLANE = 4.8  # inches, of one or two features and of the bounds


@dataclass(frozen=True, slots=True)
class _Panel:
    """A part of the picture.

    Attributes:
        width: Inches.
        height: Inches.
        paint: Draws it.
    """

    width: float
    height: float
    paint: Callable[[FigureBase], None]


def latent(scene: LatentScene, image: Image | None) -> Figure:
    """Samples, the file's rows with what comes back of them, and what the depth buys.

    Images are sheets; one feature is a histogram, two are dots, more are both in pairs.

    Args:
        scene: What is shown.
        image: Height, width and channels where the first columns are the pixels of an image.
    """
    panels = _rows(scene) if image is None else _images(scene, Look.of(scene, image))
    depth = scene.model.manifest.depth if isinstance(scene.model, VAE) else None
    if depth is not None and len(depth.offered) > 1:
        panels.append(_Panel(_PLANE, _PLANE, lambda part: trade_off(part, depth)))
    widths = [panel.width for panel in panels]
    size = (sum(widths), max(panel.height for panel in panels))
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for panel, part in zip(panels, parts, strict=True):
        panel.paint(part)
    return figure


def _images(scene: LatentScene, look: Look) -> list[_Panel]:
    data, back = scene.data, scene.back
    size = (INCHES, INCHES + TITLE_INCHES)
    panels = []
    if scene.samples is not back:
        panels.append(_Panel(*size, lambda part: sheet(part.subplots(), scene.samples, look)))
    if data is not None and back is not None:
        panels.append(_Panel(*size, lambda part: pair_sheet(part.subplots(), data, back, look)))
    return panels


def _rows(scene: LatentScene) -> list[_Panel]:
    features = len(scene.axes)
    if scene.whole and features in (1, 2):
        paint = histograms if features == 1 else scatter
        return [_Panel(_PLANE, _PLANE, lambda part: paint(part.subplots(), scene))]
    return [_Panel(side(scene), side(scene), lambda part: draw_pairs(part, scene))]
