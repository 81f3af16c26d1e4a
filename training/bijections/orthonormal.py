"""Matrices with orthonormal columns."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Orthonormal(nn.Module):
    """A learned matrix ``(features, columns)`` with orthonormal columns.

    The columns of a free matrix, each made orthogonal to those before it: a smooth map, which a
    plain QR factorisation is not, because its signs jump.

    Args:
        features: Rows.
        columns: At most the features.
    """

    def __init__(self, features: int, columns: int) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.randn(features, columns))

    def forward(self) -> Tensor:
        """The matrix."""
        q, r = torch.linalg.qr(self.free)
        matrix: Tensor = q * torch.sign(torch.diagonal(r))
        return matrix


class _Fixed(nn.Module):
    """A matrix that was computed."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self) -> Tensor:
        """The matrix."""
        return self.matrix


@torch.no_grad()
def fix(module: nn.Module) -> None:
    """Replace every :class:`Orthonormal` inside a module by its matrix, which a graph can hold."""
    for name, child in module.named_children():
        if isinstance(child, Orthonormal):
            setattr(module, name, _Fixed(child()))
        else:
            fix(child)
