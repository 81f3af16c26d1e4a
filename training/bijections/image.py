"""Images inside of flat rows: other orders of the same numbers, and one map for every pixel.

Files hold pixels one after the other with their channels together. Inside of a flow a row holds
planes, one whole channel after the other, so that half of the channels is half of the row, and
couplings and splits need not know that they work on images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.bijections.base import Bijection

# Side of the square of pixels that a squeeze makes into channels.
SIDE = 2


class Rearrange(Bijection):
    """Order the numbers of a row in another way; volumes stay as they are.

    Args:
        shape: How a row is viewed on the side of the data.
        axes: The order of these axes on the side of the latent.
    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.axes = shape, axes

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        return _ordered(x, self.shape, self.axes), x.new_zeros(x.shape[0])

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        shape = tuple(self.shape[axis] for axis in self.axes)
        back = tuple(self.axes.index(axis) for axis in range(len(self.axes)))
        return _ordered(z, shape, back), z.new_zeros(z.shape[0])


def channels_first(height: int, width: int, channels: int) -> Rearrange:
    """From pixels with their channels together to one plane for each channel."""
    return Rearrange((height * width, channels), (1, 0))


def squeeze(channels: int, height: int, width: int) -> Rearrange:
    """Squares of two by two pixels become four channels of half the height and width.

    Raises:
        ValueError: If a side is odd.

    References:
        Dinh et al., Density estimation using Real NVP (2017), section 3.6.
        https://arxiv.org/abs/1605.08803
    """
    if height % SIDE or width % SIDE:
        raise ValueError(f"expected even sides to squeeze, got {height} x {width}")
    return Rearrange((channels, height // SIDE, SIDE, width // SIDE, SIDE), (0, 2, 4, 1, 3))


class PerPixel(Bijection):
    r"""One bijection of the channels, the same at every pixel; log-dets add over the pixels.

    An :class:`~training.bijections.LULinear` at every pixel is an invertible convolution with a
    kernel of one by one, :math:`\log|\det J| = h w \log|\det W|`.

    Args:
        bijection: Of rows ``(batch * pixels, channels)``; it sees no context.
        channels: Planes of an image.
        pixels: Of a plane.

    References:
        Kingma and Dhariwal, Glow (2018), section 3.2 and table 1.
        https://arxiv.org/abs/1807.03039
    """

    def __init__(self, bijection: Bijection, channels: int, pixels: int) -> None:
        super().__init__()
        self.bijection, self.channels, self.pixels = bijection, channels, pixels

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        return self._planes(*self.bijection.encode(self._pixels(x)))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        return self._planes(*self.bijection.decode(self._pixels(z)))

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """See :meth:`Bijection.initialise`."""
        self.bijection.initialise(self._pixels(x))

    def _pixels(self, rows: Tensor) -> Tensor:
        return _ordered(rows, (self.channels, self.pixels), (1, 0)).reshape(-1, self.channels)

    def _planes(self, pixels: Tensor, log_det: Tensor) -> tuple[Tensor, Tensor]:
        rows = _ordered(pixels, (self.pixels, self.channels), (1, 0))
        return rows, log_det.reshape(-1, self.pixels).sum(dim=1)


def _ordered(rows: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    """Rows ``(batch, features)`` viewed as images of a shape, with these axes in another order."""
    turned = rows.reshape(-1, *shape).permute(0, *(axis + 1 for axis in axes))
    return turned.reshape(-1, math.prod(shape))
