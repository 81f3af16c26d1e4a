"""A layer that sees the features in another order."""

from __future__ import annotations

import torch
from torch import Tensor

from training.bijections.base import Bijection


class Permuted(Bijection):
    """A bijection of reordered features, whose result is put back in the order of the input.

    So layers that treat features unequally can take turns, and each of them alone is still the
    identity wherever the bijection is: what follows after any of them sees features where they
    were.

    Args:
        bijection: Of the reordered features.
        order: Its first feature is that at the first of these places, and so on.
    """

    order: Tensor
    back: Tensor

    def __init__(self, bijection: Bijection, order: Tensor) -> None:
        super().__init__()
        self.bijection = bijection
        self.register_buffer("order", order)
        self.register_buffer("back", torch.argsort(order))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        z, log_det = self.bijection.encode(x.index_select(1, self.order), context)
        return z.index_select(1, self.back), log_det

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        x, log_det = self.bijection.decode(z.index_select(1, self.order), context)
        return x.index_select(1, self.back), log_det

    def passes(self) -> tuple[int, int]:
        """See :meth:`Bijection.passes`."""
        return self.bijection.passes()
