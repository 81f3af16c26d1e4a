"""Linear mixing of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection


class LULinear(Bijection):
    r"""Mix all features by :math:`W = P L U` with a fixed permutation :math:`P`.

    :math:`L` is unit lower triangular and :math:`U` upper triangular with diagonal
    :math:`e^{s}`, so :math:`\log|\det W| = \sum_i s_i`. Starts as the permutation alone.

    Args:
        features: Size of a row.
        generator: Draws the permutation.

    References:
        Kingma and Dhariwal, Glow (2018), section 3.2. https://arxiv.org/abs/1807.03039
    """

    permutation: Tensor

    def __init__(self, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.features = features
        order = torch.randperm(features, generator=generator)
        self.register_buffer("permutation", torch.eye(features)[order])
        entries = features * (features - 1) // 2
        self.lower = nn.Parameter(torch.zeros(entries))
        self.upper = nn.Parameter(torch.zeros(entries))
        self.log_diagonal = nn.Parameter(torch.zeros(features))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        lower, upper = self._factors()
        z = x @ upper.T @ lower.T @ self.permutation.T
        return z, self.log_diagonal.sum() + x.new_zeros(x.shape[0])

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        lower, upper = self._factors()
        rows = (z @ self.permutation).T
        rows = torch.linalg.solve_triangular(lower, rows, upper=False, unitriangular=True)
        x = torch.linalg.solve_triangular(upper, rows, upper=True).T
        return x, z.new_zeros(z.shape[0]) - self.log_diagonal.sum()

    def as_affine(self) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.as_affine`."""
        lower, upper = self._factors()
        return self.permutation @ lower @ upper, self.log_diagonal.new_zeros(self.features)

    def _factors(self) -> tuple[Tensor, Tensor]:
        square = self.log_diagonal.new_zeros(self.features, self.features)
        below = torch.tril_indices(self.features, self.features, -1, device=square.device)
        lower = square.index_put((below[0], below[1]), self.lower)
        upper = square.index_put((below[1], below[0]), self.upper)
        lower = lower + torch.eye(self.features, dtype=square.dtype, device=square.device)
        return lower, upper + torch.diag(self.log_diagonal.exp())


class Linear(Bijection):
    """A dense affine map with its inverse and log-det as constants: what export folds layers into.

    Args:
        weight: Shape ``(features, features)``, float64 so that the inverse is accurate.
        bias: Shape ``(features,)``.

    Raises:
        ValueError: If the weight is singular.
    """

    weight: Tensor
    bias: Tensor
    inverse: Tensor
    inverse_bias: Tensor
    constant_log_det: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        log_det = torch.linalg.slogdet(weight).logabsdet
        if not torch.isfinite(log_det):
            raise ValueError("expected an invertible weight, got a singular one")
        self.triangular = bool((weight == weight.tril()).all())
        inverse = torch.linalg.inv(weight)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("inverse", inverse)
        self.register_buffer("inverse_bias", -(inverse @ bias))
        self.register_buffer("constant_log_det", log_det)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        z = torch.addmm(self.bias, x, self.weight.T)
        return z, self.constant_log_det + x.new_zeros(x.shape[0])

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        x = torch.addmm(self.inverse_bias, z, self.inverse.T)
        return x, z.new_zeros(z.shape[0]) - self.constant_log_det

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return self.triangular

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        if not self.triangular:
            return super().encode_terms(x, context)
        return self.encode(x)[0], self.weight.diagonal().abs().log().expand_as(x)

    def as_affine(self) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.as_affine`."""
        return self.weight, self.bias
