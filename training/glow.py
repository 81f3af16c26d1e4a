"""The family glow: a multi-scale flow of images."""

from __future__ import annotations

import torch

from training.bijections import (
    ActNorm,
    Affine,
    Bijection,
    Chain,
    Coupling,
    ElementwiseSpline,
    LULinear,
    PerPixel,
    Split,
    channels_first,
    squeeze,
)
from training.bijections.image import SIDE
from training.networks import Convolutional
from training.recipes import GlowConfig

Planes = tuple[int, int, int]


def glow(
    config: GlowConfig,
    image: tuple[int, int, int],
    context_features: int,
    generator: torch.Generator,
) -> Chain:
    """A fresh chain on rows that hold images, pixel after pixel with their channels together.

    Each level squeezes, takes its steps, and hands half of the channels to the next one; the other
    half is latent. The last coupling of a level has just mapped that half given the half that goes
    on, so its density is conditional on it, as by the learned prior of the paper.

    Args:
        config: The recipe's model section.
        image: Height, width and channels.
        context_features: Size of the context, possibly 0.
        generator: Draws the fixed permutations of the channels.

    Raises:
        ValueError: If the sides cannot be halved as often as there are levels.

    References:
        Kingma and Dhariwal, Glow (2018), figure 2. https://arxiv.org/abs/1807.03039
    """
    height, width, channels = image
    factor = SIDE**config.levels
    if height % factor or width % factor:
        raise ValueError(
            f"expected sides divisible by {factor} for levels: {config.levels}, "
            f"got {height} x {width} pixels"
        )
    pixels, planes = height * width, (channels, height, width)
    chain: list[Bijection] = [channels_first(height, width, channels)] if channels > 1 else []
    if config.marginal_bins:
        marginal = ElementwiseSpline(channels, config.marginal_bins, config.tail_bound)
        chain.append(PerPixel(marginal, channels, pixels))
    return Chain([*chain, *_level(config, config.levels, planes, context_features, generator)])


def _level(
    config: GlowConfig,
    levels: int,
    planes: Planes,
    context_features: int,
    generator: torch.Generator,
) -> list[Bijection]:
    """This level and those inside of it."""
    channels, height, width = planes[0] * SIDE**2, planes[1] // SIDE, planes[2] // SIDE
    pixels, half = height * width, (channels // 2, height, width)
    chain: list[Bijection] = [squeeze(*planes)]
    for _ in range(config.steps):
        mix = Chain([ActNorm(channels), LULinear(channels, generator)])
        chain += [PerPixel(mix, channels, pixels), _coupling(config, half, context_features)]
    if levels > 1:
        inner = _level(config, levels - 1, half, context_features, generator)
        chain.append(Split(half[0] * pixels, Chain(inner)))
    return chain


def _coupling(config: GlowConfig, half: Planes, context_features: int) -> Coupling:
    channels, height, width = half
    size = channels * height * width
    conditioner = Convolutional(half, context_features, config.hidden_channels, [channels] * 2)
    return Coupling(size, size, conditioner, Affine())
