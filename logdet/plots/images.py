"""A picture of a density of images: a sheet of them."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from logdet.frame import Image
from logdet.plots.scene import Points, Scene
from logdet.plots.style import shortened
from service.results import Floats

_SIDE = 8  # images across and down
MOST_SHOWN = _SIDE * _SIDE
_INCHES = 5.2  # of a sheet
_COLOUR_CHANNELS = 3


def images(scene: Scene, image: Image) -> Figure:
    """A sheet of samples, beside one of rows of the file where there is one.

    Args:
        scene: What is shown.
        image: Height, width and channels; the first columns are the pixels, row after row, with
            the channels of a pixel together. Other numbers of channels than 1 and 3 are averaged.
    """
    shown = [scene.samples] + ([] if scene.data is None else [scene.data])
    figure = Figure(figsize=(_INCHES * len(shown), _INCHES + 0.5), layout="constrained")
    low, high = _range(scene, math.prod(image))
    for axes, points in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        brightness = (points.x[:, : math.prod(image)].astype(np.float64) - low) / (high - low)
        _sheet(axes, points, np.clip(brightness, 0.0, 1.0), image)
    return figure


def _range(scene: Scene, pixels: int) -> tuple[float, float]:
    """What is black and what is white: the ends of what training saw in any pixel."""
    ends = [feature.training_range for feature in scene.model.manifest.features[:pixels]]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return (low, high) if low < high else (low, low + 1.0)


def _sheet(axes: Axes, points: Points, brightness: Floats, image: Image) -> None:
    height, width, channels = image
    side = min(_SIDE, math.ceil(math.sqrt(len(brightness))))
    tiles = np.ones((side * side, height + 1, width + 1, channels))  # a white line between images
    shown = brightness[: side * side]
    tiles[: len(shown), :height, :width] = shown.reshape(-1, height, width, channels)
    tiles = tiles.reshape(side, side, height + 1, width + 1, channels).swapaxes(1, 2)
    sheet = tiles.reshape(side * (height + 1), side * (width + 1), channels)[:-1, :-1]
    axes.imshow(_coloured(sheet), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(shortened(points.called))


def _coloured(sheet: NDArray[np.float64]) -> NDArray[np.float64]:
    if sheet.shape[-1] == _COLOUR_CHANNELS:
        return sheet
    return np.repeat(sheet.mean(axis=-1, keepdims=True), _COLOUR_CHANNELS, axis=-1)
