"""Planar layers, with an inverse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from training.bijections.base import Bijection
from training.bijections.bend import bent_root, constrained, slope
from training.bijections.parameters import Parameters


class Planar(Bijection):
    r"""Move every row along one direction by an amount that depends on one projection.

    :math:`z = x + \hat u \tanh(w \cdot x + b)`, with :math:`\hat u` made from the free :math:`u`
    such that :math:`c = w \cdot \hat u > -0.9`, and
    :math:`\log|\det J| = \log(1 + c (1 - \tanh^2(w \cdot x + b)))`.

    Decoding solves :math:`a + c \tanh a = w \cdot z + b` for :math:`a = w \cdot x + b`; a row for
    which that did not converge is NaN.

    Args:
        features: Size of a row.
        context_features: Size of the context that moves w, u and b; 0 for none.
        hidden: Widths of the hidden layers of the network of the context.

    References:
        Rezende and Mohamed, Variational inference with normalizing flows (2015), eqs. 10 to 12 and
        appendix A.1. https://arxiv.org/abs/1505.05770
    """

    def __init__(
        self, features: int, context_features: int = 0, hidden: Sequence[int] = ()
    ) -> None:
        super().__init__()
        first = {
            "w": torch.randn(features) / math.sqrt(features),
            "u": torch.zeros(features),
            "b": torch.zeros(()),
        }
        self.values = Parameters(first, context_features, hidden)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        w, direction, product, b = self._shape(context)
        bent = torch.tanh(_projected(x, w) + b)
        return _moved(x, bent, direction), slope(bent, product).log()

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        w, direction, product, b = self._shape(context)
        bent = bent_root(_projected(z, w) + b, product)
        return _moved(z, bent, -direction), -slope(bent, product).log()

    def _shape(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The projection, the constrained direction, their product, and the offset."""
        w, u, b = self.values(context)
        free = (w * u).sum(dim=-1)
        product = constrained(free)
        missing = (product - free) / (w * w).sum(dim=-1)
        return w, u + missing.unsqueeze(-1) * w, product, b


def _projected(rows: Tensor, w: Tensor) -> Tensor:
    return rows @ w if w.dim() == 1 else (rows * w).sum(dim=1)


def _moved(rows: Tensor, amount: Tensor, direction: Tensor) -> Tensor:
    """Rows plus the amount times the direction, which each row has for itself or all share."""
    column = amount.unsqueeze(1)
    if direction.dim() == 2:
        return rows + column * direction
    # A matrix product, which onnxruntime does faster than a product with broadcasting.
    return torch.addmm(rows, column, direction.reshape(1, -1))
