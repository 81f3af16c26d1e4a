"""Part of a row goes on, the rest is latent already."""

from __future__ import annotations

import torch
from torch import Tensor

from training.bijections.base import Bijection


class Split(Bijection):
    r"""Map the first features alone and leave the others as they are.

    With :math:`x = (a, b)`: :math:`z = (f(a), b)`. Of several levels, one in the other, the
    deepest stands first in :math:`z` and what the outermost left stands last.

    Args:
        passed: Number of leading features that go on.
        bijection: Of these.

    References:
        Dinh et al., Density estimation using Real NVP (2017), section 3.6.
        https://arxiv.org/abs/1605.08803
    """

    def __init__(self, passed: int, bijection: Bijection) -> None:
        super().__init__()
        self.passed, self.bijection = passed, bijection

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        z, log_det = self.bijection.encode(x[:, : self.passed], context)
        return torch.cat([z, x[:, self.passed :]], dim=1), log_det

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        x, log_det = self.bijection.decode(z[:, : self.passed], context)
        return torch.cat([x, z[:, self.passed :]], dim=1), log_det

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """See :meth:`Bijection.initialise`."""
        self.bijection.initialise(x[:, : self.passed], context)

    def passes(self) -> tuple[int, int]:
        """See :meth:`Bijection.passes`."""
        return self.bijection.passes()
