"""Parameters of a layer, the same for all rows or moved by each row's context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from training import networks


class Parameters(nn.Module):
    """Named parameters; with a context, a small network adds to them row by row.

    The network's outputs begin almost at zero, so a fresh layer hardly depends on its context.
    The context may be anything that decides a layer: columns of a table, or the features that an
    encoder found.

    Args:
        first: First values, in the order in which :meth:`forward` returns them.
        context_features: Size of the context; 0 for the same parameters in all rows.
        hidden: Widths of the network's hidden layers.
    """

    def __init__(
        self, first: Mapping[str, Tensor], context_features: int, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.own = nn.ParameterDict()
        for name, value in first.items():  # One by one: from a dict they would come out sorted.
            self.own[name] = nn.Parameter(value)
        sizes = [value.numel() for value in first.values()]
        self.network = (
            networks.dense(context_features, hidden, sizes) if context_features else None
        )

    def forward(self, context: Tensor | None = None) -> tuple[Tensor, ...]:
        """Values of the given shapes, or with a leading axis of rows where there is a context."""
        own = tuple(self.own.values())
        if self.network is None:
            return own
        moves = self.network(context)
        return tuple(
            value + _shaped(move, value.shape) for value, move in zip(own, moves, strict=True)
        )


def _shaped(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Flat rows in the parameter's shape.

    Not by a reshape with a free axis: onnxruntime would no longer know that it is the batch, reuse
    no memory, and plan for seconds over a graph of a thousand nodes.
    """
    if not shape:
        return rows.squeeze(1)
    return torch.unflatten(rows, 1, tuple(shape))
