"""Columns that are the pixels of an image: whole numbers of one range, and all modelled."""

from __future__ import annotations

import math

import numpy as np
import torch

from training.bijections import Bounded, Chain, Standardise
from training.bounds import Interval
from training.columns import Column, Columns
from training.recipes import GlowConfig, Recipe
from training.table import Image, Rows

BYTE = (0, 255)
# Values above this, and up to 255, need a whole byte, which then is the range.
SEVEN_BITS = 127
# A whole number stands for a cell that reaches half a unit to both sides.
HALF_CELL = 0.5


def need_image(image: Image | None, columns: int) -> Image:
    """The image, where the columns are its pixels and nothing else.

    Raises:
        ValueError: If they are not.
    """
    if image is None:
        raise ValueError(
            "family glow needs images: an .npz with an array x of rows, height and width (and "
            "channels), got a table"
        )
    if columns != math.prod(image):
        raise ValueError(
            f"family glow needs images: expected {math.prod(image)} pixels, got {columns} columns;"
            " drop the others, or make them the context"
        )
    return image


def describe_pixels(names: tuple[str, ...], train: Rows, recipe: Recipe) -> Columns:
    """Every pixel is modelled: a blank one is spread over its cell like the others.

    Args:
        names: Column names.
        train: Training rows, shape ``(rows, pixels)``.
        recipe: Of a family of images.

    Raises:
        ValueError: If a pixel is no whole number of the range, or said to be something else.
    """
    if odd := sorted((recipe.continuous | set(recipe.bounds)) & set(names)):
        raise ValueError(
            f"expected pixels as whole numbers of one pixel_range, got {odd[0]!r} declared apart"
        )
    declared = recipe.model.pixel_range if isinstance(recipe.model, GlowConfig) else None
    low, high = _range(train, declared)
    centre, scale = 0.5 * (low + high), 0.5 * (high - low) + HALF_CELL
    interval = Interval(float(low), float(high), HALF_CELL, centre, scale)
    return Columns(tuple(_pixel(name, train[:, i], interval) for i, name in enumerate(names)))


def pixel_preprocessing(columns: Columns, train: Rows) -> Chain:
    """To the unit of the range, a logit, and one scaling of all pixels to unit moments; float64.

    One for all, because a convolution treats them alike: that a pixel is brighter or varies more
    than another is for it to see.

    Args:
        columns: Of :func:`describe_pixels`.
        train: Dequantised training rows, shape ``(rows, pixels)``.
    """
    centre, scale = torch.tensor([c.units for c in columns.all], dtype=torch.float64).T
    both = torch.ones(len(columns.all), dtype=torch.bool)
    layers = [Standardise(centre, scale), Bounded(both, both)]
    opened, _ = Chain(layers).encode(torch.from_numpy(train))
    every = torch.ones_like(centre)
    return Chain([*layers, Standardise(opened.mean() * every, opened.std() * every)])


def _range(train: Rows, declared: tuple[int, int] | None) -> tuple[int, int]:
    """Smallest and largest value of a pixel, as declared or by the rule of the recipe."""
    broken = train[train != np.rint(train)]
    if len(broken):
        raise ValueError(f"expected whole numbers as pixels, got {broken[0]:g}")
    low, high = int(train.min()), int(train.max())
    within_a_byte = low >= BYTE[0] and SEVEN_BITS < high <= BYTE[1]
    ends = declared or (BYTE if within_a_byte else (min(low, 0), high))
    if not ends[0] <= low <= high <= ends[1]:
        raise ValueError(f"expected pixels in the pixel_range {list(ends)}, got {low} to {high}")
    if low == high:
        raise ValueError(f"expected pixels that vary, all are {low}")
    return ends


def _pixel(name: str, values: Rows, interval: Interval) -> Column:
    deviation = float(np.sqrt(values.var() + 1 / 12))
    return Column(
        name=name,
        kind="integer",
        constant=False,
        low=float(values.min()),
        high=float(values.max()),
        centre=float(np.median(values)),
        scale=deviation,
        tightness=1.0,
        deviation=deviation,
        notes=(),
        interval=interval,
    )
