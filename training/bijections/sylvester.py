"""Sylvester layers, with an inverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection
from training.bijections.bend import bent_root, constrained, slope
from training.bijections.loop import repeated
from training.bijections.orthonormal import Orthonormal
from training.bijections.parameters import Parameters
from training.bijections.spline import bounded_exp

# Deviation of what makes the first products: at zero, nothing behind them would have a gradient.
FIRST_PRODUCT = 0.1


class _Shape(NamedTuple):
    """R, R~ and b, the same for all rows or one for each, and the products of the diagonals."""

    outer: Tensor
    inner: Tensor
    b: Tensor
    products: Tensor


class Sylvester(Bijection):
    r"""Move every row within the span of a few orthonormal columns.

    :math:`z = x + Q R h` with :math:`h = \tanh(\tilde R Q^T x + b)`, orthonormal columns
    :math:`Q`, and upper triangular :math:`R` and :math:`\tilde R`, so that

    .. math::
        \log|\det J| = \sum_i \log(1 + c_i (1 - h_i^2)), \quad c_i = R_{ii} \tilde R_{ii} > -0.9.

    :math:`\tilde R_{ii}` is positive, which excludes nothing, because the hyperbolic tangent is
    odd. Decoding finds :math:`h` from its last entry to its first, each by the scalar equation of
    a planar layer; a row for which that did not converge is NaN.

    Args:
        features: Size of a row.
        columns: Of Q, at most as many as features.
        context_features: Size of the context that moves R, R~ and b; 0 for none.
        hidden: Widths of the hidden layers of the network of the context.

    Raises:
        ValueError: If the number of columns is below one or above the features.

    References:
        van den Berg et al., Sylvester normalizing flows for variational inference (2018),
        section 3. https://arxiv.org/abs/1803.05649
    """

    def __init__(
        self, features: int, columns: int, context_features: int = 0, hidden: Sequence[int] = ()
    ) -> None:
        super().__init__()
        if not 1 <= columns <= features:
            raise ValueError(f"expected 1 to {features} columns, got {columns}")
        self.columns = columns
        self.basis: nn.Module = Orthonormal(features, columns)
        first = {
            # R above the diagonal, R~ transposed below it, and on it what makes the products.
            "triangles": torch.diag(FIRST_PRODUCT * torch.randn(columns)),
            "log_scales": torch.zeros(columns),
            "b": torch.zeros(columns),
        }
        self.values = Parameters(first, context_features, hidden)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        basis, shape = self.basis(), self._shape(context)
        bent = torch.tanh(_times(shape.inner, x @ basis) + shape.b)
        return x + _times(shape.outer, bent) @ basis.T, _log_det(bent, shape)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        basis, shape = self.basis(), self._shape(context)
        y = z @ basis
        # One for each row: else every step of the root would broadcast a row of a few numbers.
        products = shape.products + torch.zeros_like(y)

        def once(bent: Tensor) -> Tensor:
            """One more entry from the end is final, whatever those before it were."""
            projected = y - _times(shape.outer, bent)
            inner = _times(shape.inner, projected) + shape.b
            return bent_root(inner + products * bent, products)

        bent = repeated(self.columns, once, torch.zeros_like(y))
        return z - _times(shape.outer, bent) @ basis.T, -_log_det(bent, shape)

    def _shape(self, context: Tensor | None) -> _Shape:
        triangles, log_scales, b = self.values(context)
        eye = torch.eye(self.columns, dtype=triangles.dtype, device=triangles.device)
        products, scales = constrained((triangles * eye).sum(dim=-1)), bounded_exp(log_scales)
        outer = torch.triu(triangles, 1) + eye * (products / scales).unsqueeze(-1)
        inner = torch.tril(triangles, -1).transpose(-1, -2) + eye * scales.unsqueeze(-1)
        return _Shape(outer, inner, b, products)


def _times(matrix: Tensor, rows: Tensor) -> Tensor:
    """The matrix, of each row or of all, times every row."""
    return rows @ matrix.T if matrix.dim() == 2 else (matrix * rows.unsqueeze(1)).sum(dim=2)


def _log_det(bent: Tensor, shape: _Shape) -> Tensor:
    return slope(bent, shape.products).log().sum(dim=1)
