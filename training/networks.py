"""Conditioner networks: plain functions of rows, no knowledge of flows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

# Heads begin almost at zero, so that a fresh flow is almost the identity, yet not exactly, so that
# the first step already moves the hidden layers.
HEAD_SCALE = 0.01


class MultiHead(nn.Module):
    """A trunk of hidden layers with several linear heads.

    Separate heads, because splitting one wide output costs onnxruntime a copy.

    Args:
        trunk: Maps rows to the last hidden layer.
        heads: Each maps the last hidden layer to one output.
    """

    def __init__(self, trunk: nn.Sequential, heads: Iterable[nn.Linear]) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, nn.ModuleList(heads)
        with torch.no_grad():
            for parameter in self.heads.parameters():
                parameter.mul_(HEAD_SCALE)

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Map ``(batch, inputs)`` to one ``(batch, size)`` per head."""
        hidden = self.trunk(rows)
        return tuple(head(hidden) for head in self.heads)


def dense(inputs: int, hidden: Sequence[int], heads: Sequence[int]) -> MultiHead:
    """A fully connected network.

    Args:
        inputs: Size of a row going in.
        hidden: Widths of the hidden layers.
        heads: Sizes of the outputs.
    """
    widths = [inputs, *hidden]
    trunk = nn.Sequential(
        *(
            module
            for narrow, wide in pairwise(widths)
            for module in (nn.Linear(narrow, wide), nn.ReLU())
        )
    )
    return MultiHead(trunk, [nn.Linear(widths[-1], size) for size in heads])


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are zero and stay so.

    Args:
        mask: Shape ``(outputs, inputs)``, True where an input may be seen.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype))

    def forward(self, rows: Tensor) -> Tensor:
        """See :class:`torch.nn.Linear`."""
        return nn.functional.linear(rows, self.weight * self.mask, self.bias)


def autoregressive(
    features: int, hidden: Sequence[int], sizes: Sequence[int], context_features: int = 0
) -> MultiHead:
    """A network whose outputs for feature i see the context and only the features before i.

    Args:
        features: Features of a row going in.
        hidden: Widths of the hidden layers.
        sizes: Of each head, numbers per feature.
        context_features: Size of the context, which stands behind the features.

    References:
        Germain et al., MADE (2015), section 4. https://arxiv.org/abs/1502.03509
    """
    degrees = torch.arange(1, features + 1)
    layers: list[nn.Module] = []
    # What has degree 0 is seen by all; without a context no unit needs that degree.
    seen = torch.cat([degrees, torch.zeros(context_features, dtype=torch.int64)])
    lowest = 0 if context_features else 1
    for width in hidden:
        units = torch.arange(width) % max(1, features - lowest) + lowest
        layers += [MaskedLinear(units[:, None] >= seen[None, :]), nn.ReLU()]
        seen = units
    allowed = degrees[:, None] > seen[None, :]
    heads = [MaskedLinear(allowed.repeat_interleave(size, dim=0)) for size in sizes]
    return MultiHead(nn.Sequential(*layers), heads)


@torch.no_grad()
def unmask(module: nn.Module) -> None:
    """Replace every masked layer inside a module by a plain one with zeros in its weight."""
    for name, child in module.named_children():
        if isinstance(child, MaskedLinear):
            plain = nn.Linear(child.in_features, child.out_features).to(child.weight)
            plain.weight.copy_(child.weight * child.mask)
            plain.bias.copy_(child.bias)
            setattr(module, name, plain)
        else:
            unmask(child)
