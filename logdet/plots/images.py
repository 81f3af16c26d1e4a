"""Pictures of images: a sheet of them, and a sheet of originals over what comes back of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from logdet.frame import Image
from logdet.plots.scene import Points, Scene
from logdet.plots.style import shortened
from service.results import Floats

_SIDE = 8  # images across, and at most down
MOST_SHOWN = _SIDE * _SIDE
INCHES = 5.2  # of a sheet
TITLE_INCHES = 0.5  # above it
_GAP = 0.25  # of an image's height, between two lines and the next two
_COLOUR_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """How rows become images.

    Attributes:
        image: Height, width and channels; the first columns are the pixels, row after row, with
            the channels of a pixel together. Other numbers of channels than 1 and 3 are averaged.
        low: What is black.
        high: What is white.
    """

    image: Image
    low: float
    high: float

    @classmethod
    def of(cls, scene: Scene, image: Image) -> Look:
        """Black and white at the ends of what training saw in any pixel."""
        features = scene.model.manifest.features[: math.prod(image)]
        low = min(feature.training_range[0] for feature in features)
        high = max(feature.training_range[1] for feature in features)
        return cls(image, low, high if low < high else low + 1.0)

    def tiles(self, x: Floats, side: int) -> NDArray[np.float64]:
        """Rows ``(rows, features)`` as images beside each other, ``side`` of them in a line.

        Shape ``(height, width, channels)``, with a white line below and right of each image.
        """
        height, width, channels = self.image
        brightness = (x[:, : math.prod(self.image)].astype(np.float64) - self.low) / (
            self.high - self.low
        )
        lines = math.ceil(len(x) / side)
        tiles = np.ones((lines * side, height + 1, width + 1, channels))
        shown = np.clip(brightness, 0.0, 1.0).reshape(-1, height, width, channels)
        tiles[: len(x), :height, :width] = shown
        tiles = tiles.reshape(lines, side, height + 1, width + 1, channels).swapaxes(1, 2)
        return tiles.reshape(lines * (height + 1), side * (width + 1), channels)


def images(scene: Scene, image: Image) -> Figure:
    """A sheet of samples, beside one of rows of the file where there is one."""
    shown = [scene.samples] + ([] if scene.data is None else [scene.data])
    size = (INCHES * len(shown), INCHES + TITLE_INCHES)
    figure = Figure(figsize=size, layout="constrained")
    look = Look.of(scene, image)
    for axes, points in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        sheet(axes, points, look)
    return figure


def sheet(axes: Axes, points: Points, look: Look) -> None:
    """The first images, about as many down as across."""
    side = min(_SIDE, math.ceil(math.sqrt(len(points.x))))
    _show(axes, look.tiles(points.x[: side * side], side), shortened(points.called))


def pair_sheet(axes: Axes, data: Points, back: Points, look: Look) -> None:
    """The first images of a file, a line of them over a line of what comes back of them."""
    side = min(_SIDE, len(data.x))
    gap = math.ceil(_GAP * look.image[0])
    parts = []
    for first in range(0, min(len(data.x), side * _SIDE // 2), side):
        pair = [look.tiles(p.x[first : first + side], side) for p in (data, back)]
        parts += [*pair, np.ones((gap, *pair[0].shape[1:]))]
    title = f"{shortened(data.called)} over {back.called}"
    _show(axes, np.concatenate(parts)[:-gap], title)


def _show(axes: Axes, tiles: NDArray[np.float64], title: str) -> None:
    axes.imshow(_coloured(tiles[:-1, :-1]), interpolation="nearest")
    axes.set_axis_off()
    axes.set_anchor("N")  # sheets beside each other begin at one height
    axes.set_title(title)


def _coloured(sheet: NDArray[np.float64]) -> NDArray[np.float64]:
    if sheet.shape[-1] == _COLOUR_CHANNELS:
        return sheet
    return np.repeat(sheet.mean(axis=-1, keepdims=True), _COLOUR_CHANNELS, axis=-1)
