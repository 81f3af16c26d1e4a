"""Conditioner networks: plain functions of rows, no knowledge of flows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

# Heads begin almost at zero, so that a fresh flow is almost the identity, yet not exactly, so that
# the first step already moves the hidden layers.
HEAD_SCALE = 0.01


class MultiHead(nn.Module):
    """A multilayer perceptron with several linear heads on one trunk.

    Separate heads, because splitting one wide output costs onnxruntime a copy.

    Args:
        inputs: Size of a row going in.
        hidden: Widths of the hidden layers.
        heads: Sizes of the outputs.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], heads: Sequence[int]) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        self.trunk = nn.Sequential(
            *(
                module
                for narrow, wide in pairwise(widths)
                for module in (nn.Linear(narrow, wide), nn.ReLU())
            )
        )
        self.heads = nn.ModuleList(nn.Linear(widths[-1], size) for size in heads)
        with torch.no_grad():
            for head in self.heads:
                for parameter in head.parameters():
                    parameter.mul_(HEAD_SCALE)

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Map ``(batch, inputs)`` to one ``(batch, size)`` per head."""
        hidden = self.trunk(rows)
        return tuple(head(hidden) for head in self.heads)
