"""Encoders and decoders: from rows to what is told of the latent, and back to tables of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training import networks
from training.recipes import AutoencoderConfig, VAEConfig
from training.table import Image

# Autoencoders begin nowhere near an identity: small first heads would only hide the data from the
# hidden layers.
SCALE = 1.0
# Each convolution halves the sides.
HALVINGS = 2


def encoder(
    config: VAEConfig | AutoencoderConfig,
    features: int,
    image: Image | None,
    heads: Sequence[int],
) -> nn.Module:
    """From rows ``(rows, features)`` to one ``(rows, size)`` for each head.

    Raises:
        ValueError: If convolutions are asked for and the rows are no images whose sides are
            multiples of four.
    """
    if config.network == "convolutional":
        return ConvolutionalEncoder(_sides(image, features), config.hidden, heads)
    return networks.dense(features, config.hidden, heads, SCALE)


def decoder(
    config: VAEConfig | AutoencoderConfig,
    latents: int,
    features: int,
    image: Image | None,
    tables: int,
) -> nn.Module:
    """From latents ``(rows, latents)`` to ``tables`` times ``(rows, features)``.

    Raises:
        ValueError: As :func:`encoder`.
    """
    if config.network == "convolutional":
        return ConvolutionalDecoder(latents, _sides(image, features), config.hidden, tables)
    return networks.dense(latents, config.hidden[::-1], [features] * tables, SCALE)


class ConvolutionalEncoder(nn.Module):
    """Two strided convolutions and a dense layer over images in flat rows.

    Args:
        sides: Height, width and channels.
        hidden: Channels of the first and second convolution, width of the dense layer.
        heads: Sizes of the outputs.
    """

    def __init__(self, sides: Image, hidden: Sequence[int], heads: Sequence[int]) -> None:
        super().__init__()
        self.sides = sides
        height, width, channels = sides
        first, second, wide = hidden
        self.planes = nn.Sequential(
            nn.Conv2d(channels, first, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 4, stride=2, padding=1),
            nn.ReLU(),
        )
        flat = second * (height // 4) * (width // 4)
        self.rest = networks.dense(flat, (wide,), heads, SCALE)

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Map ``(rows, features)`` to one ``(rows, size)`` for each head."""
        image = torch.unflatten(rows, 1, self.sides).permute(0, 3, 1, 2)
        told: tuple[Tensor, ...] = self.rest(self.planes(image).flatten(start_dim=1))
        return told


class ConvolutionalDecoder(nn.Module):
    """A dense layer and two transposed convolutions to images in flat rows.

    Args:
        latents: Size of a latent row.
        sides: Height, width and channels.
        hidden: As of the encoder.
        tables: Outputs.
    """

    def __init__(self, latents: int, sides: Image, hidden: Sequence[int], tables: int) -> None:
        super().__init__()
        height, width, channels = sides
        first, second, wide = hidden
        self.small = second, height // 4, width // 4
        self.tables = tables
        self.dense = nn.Sequential(
            nn.Linear(latents, wide), nn.ReLU(), nn.Linear(wide, math.prod(self.small)), nn.ReLU()
        )
        self.planes = nn.Sequential(
            nn.ConvTranspose2d(second, first, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, channels * tables, 4, stride=2, padding=1),
        )

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Map ``(rows, latents)`` to ``tables`` times ``(rows, features)``."""
        planes = self.planes(torch.unflatten(self.dense(rows), 1, self.small))
        by_table = torch.chunk(planes, self.tables, dim=1)
        return tuple(t.permute(0, 2, 3, 1).flatten(start_dim=1) for t in by_table)


def _sides(image: Image | None, features: int) -> Image:
    divisor = 2**HALVINGS
    if image is None or math.prod(image) != features:
        raise ValueError(
            "network: convolutional needs images and all of their pixels, got a table of "
            f"{features} columns"
        )
    if image[0] % divisor or image[1] % divisor:
        raise ValueError(
            f"network: convolutional needs sides that are multiples of {divisor}, got "
            f"{image[0]} x {image[1]}"
        )
    return image
