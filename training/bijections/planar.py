"""Planar layers, with an inverse."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection

# w·u stays above this, so that one layer never squeezes by more than ten. Nearer to -1 the layer
# is almost singular and more Newton steps would be needed.
MIN_PRODUCT = -0.9
# Enough for float64 rounding at any product above MIN_PRODUCT, from the starts used here.
NEWTON_STEPS = 6
# Largest residual of a converged root, relative to its argument; float32 rounds at 1e-7.
CONVERGED = 1e-4


class Planar(Bijection):
    r"""Move every row along one direction by an amount that depends on one projection.

    :math:`z = x + \hat u \tanh(w \cdot x + b)`, with :math:`\hat u` made from the free :math:`u`
    such that :math:`c = w \cdot \hat u > -0.9`, and
    :math:`\log|\det J| = \log(1 + c (1 - \tanh^2(w \cdot x + b)))`.

    Decoding solves :math:`a + c \tanh a = y` for :math:`a = w \cdot x + b` by Newton steps from a
    start on the side from which they are monotone; a row that did not converge is NaN.

    Args:
        features: Size of a row.

    References:
        Rezende and Mohamed, Variational inference with normalizing flows (2015), eqs. 10 to 12 and
        appendix A.1. https://arxiv.org/abs/1505.05770
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(features) / math.sqrt(features))
        self.u = nn.Parameter(torch.zeros(features))
        self.b = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        direction, product = self._direction()
        bent = torch.tanh(x @ self.w + self.b)
        return _moved(x, bent, direction), torch.log1p(product * (1.0 - bent * bent))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        direction, product = self._direction()
        y = z @ self.w + self.b
        bent = torch.tanh(_root(y, product))
        log_det = -torch.log1p(product * (1.0 - bent * bent))
        return _moved(z, bent, -direction), log_det

    def _direction(self) -> tuple[Tensor, Tensor]:
        """The constrained direction and its product with w."""
        free = self.w @ self.u
        at_zero = math.log(math.expm1(-MIN_PRODUCT))
        product = nn.functional.softplus(free + at_zero) + MIN_PRODUCT
        return self.u + (product - free) * self.w / (self.w @ self.w), product


def _moved(rows: Tensor, amount: Tensor, direction: Tensor) -> Tensor:
    """``rows + outer(amount, direction)``; a matrix product, which onnxruntime does faster."""
    return torch.addmm(rows, amount.reshape(-1, 1), direction.reshape(1, -1))


def _root(y: Tensor, product: Tensor) -> Tensor:
    r"""The root of :math:`a + c \tanh a = y`; NaN where the steps did not converge."""
    size = y.abs()
    near, far = size / (1.0 + product), size - product
    # The root is at most the one (c > 0: the function is concave there) or at least the other.
    a = torch.where(product > 0, torch.maximum(near, far), torch.minimum(near, far))
    for _ in range(NEWTON_STEPS):
        bent = torch.tanh(a)
        a = a - (a + product * bent - size) / (1.0 + product * (1.0 - bent * bent))
    residual = (a + product * torch.tanh(a) - size).abs()
    converged = residual <= CONVERGED * (1.0 + size)
    return torch.where(converged, torch.sign(y) * a, torch.full_like(a, torch.nan))
