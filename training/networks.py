"""Conditioner networks: plain functions of rows, no knowledge of flows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

# Heads begin almost at zero, so that a fresh flow is almost the identity, yet not exactly, so that
# the first step already moves the hidden layers.
HEAD_SCALE = 0.01


class MultiHead(nn.Module):
    """A trunk of hidden layers with several linear heads.

    Separate heads, because splitting one wide output costs onnxruntime a copy unless the batch is
    its last axis.

    Args:
        trunk: Maps rows to the last hidden layer.
        heads: Each maps the last hidden layer to one output.
        scale: Of the heads' first weights.
    """

    def __init__(
        self, trunk: nn.Sequential, heads: Iterable[nn.Module], scale: float = HEAD_SCALE
    ) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, nn.ModuleList(heads)
        with torch.no_grad():
            for parameter in self.heads.parameters():
                parameter.mul_(scale)

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Map ``(batch, inputs)`` to one ``(batch, size)`` per head."""
        hidden = self.trunk(rows)
        return tuple(head(hidden) for head in self.heads)

    def columns(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The same of linear heads with the batch last, ``(size, batch)``.

        By one product for all heads: with its factors exchanged it costs more for each head, and
        of one that is wide enough nothing.
        """
        hidden = self.trunk(rows)
        weights = self.head_weights()
        biases: list[Tensor] = [head.bias for head in self.linear_heads()]
        tables = torch.addmm(torch.cat(biases)[:, None], torch.cat(weights), hidden.T)
        return tuple(torch.split(tables, [len(weight) for weight in weights]))

    def head_weights(self) -> list[Tensor]:
        """Of each linear head, ``(size, hidden units)``."""
        return [head.weight for head in self.linear_heads()]

    def replace_heads(self, heads: Iterable[Sequence[Tensor]]) -> None:
        """Take other linear heads: of each the weight, ``(size, hidden units)``, and the bias."""
        self.heads = nn.ModuleList()
        for weight, bias in heads:
            head = nn.Linear(weight.shape[1], weight.shape[0])
            head.weight, head.bias = nn.Parameter(weight), nn.Parameter(bias)
            self.heads.append(head)

    def linear_heads(self) -> list[nn.Linear]:
        """The heads that are linear layers."""
        return [head for head in self.heads if isinstance(head, nn.Linear)]


def columns(network: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
    """A conditioner's tables with the batch last, ``(size, batch)``."""
    if isinstance(network, MultiHead):
        return network.columns(rows)
    return tuple(table.T for table in network(rows))


def dense(
    inputs: int, hidden: Sequence[int], heads: Sequence[int], scale: float = HEAD_SCALE
) -> MultiHead:
    """A fully connected network.

    Args:
        inputs: Size of a row going in.
        hidden: Widths of the hidden layers.
        heads: Sizes of the outputs.
        scale: See :class:`MultiHead`.
    """
    widths = [inputs, *hidden]
    trunk = nn.Sequential(
        *(
            module
            for narrow, wide in pairwise(widths)
            for module in (nn.Linear(narrow, wide), nn.ReLU())
        )
    )
    return MultiHead(trunk, [nn.Linear(widths[-1], size) for size in heads], scale)


class Convolutional(nn.Module):
    """Convolutions over planes in flat rows, which give each changed plane its own numbers.

    The context, if any, stands behind the planes and is seen as planes of one value each.

    Args:
        planes: Shape ``(channels, height, width)`` of what stands first in a row.
        context_features: Size of the context.
        hidden: Channels of the two hidden layers.
        heads: Channels of each output.

    References:
        Kingma and Dhariwal, Glow (2018), section 5: convolutions of 3 x 3, 1 x 1 and 3 x 3.
        https://arxiv.org/abs/1807.03039
    """

    def __init__(
        self,
        planes: tuple[int, int, int],
        context_features: int,
        hidden: int,
        heads: Sequence[int],
    ) -> None:
        super().__init__()
        self.planes, self.context_features = planes, context_features
        trunk = nn.Sequential(
            nn.Conv2d(planes[0] + context_features, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
        )
        self.network = MultiHead(trunk, [nn.Conv2d(hidden, n, 3, padding=1) for n in heads])

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Map ``(batch, inputs)`` to one ``(batch, channels * height * width)`` per head."""
        size = math.prod(self.planes)
        image = rows[:, :size].reshape(-1, *self.planes)
        if self.context_features:
            flat = rows[:, size:, None, None].expand(-1, -1, *self.planes[1:])
            image = torch.cat([image, flat], dim=1)
        return tuple(table.flatten(start_dim=1) for table in self.network(image))
