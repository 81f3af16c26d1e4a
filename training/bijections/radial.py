"""Radial layers, with an inverse in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection
from training.bijections.parameters import Parameters

# Added under the root of a squared distance, so that its gradient exists at the centre.
MIN_SQUARED_DISTANCE = 1e-24
FIRST_STRETCH = 0.1
# softplus of this is one: the layer is the identity at zero parameters.
_SOFTPLUS_ONE = math.log(math.expm1(1.0))


class Radial(Bijection):
    r"""Stretch or squeeze rows around a centre.

    :math:`z = x + \beta (x - x_0) / (\alpha + r)` with :math:`r = |x - x_0|`, :math:`\alpha > 0`,
    :math:`\beta > -\alpha`, and
    :math:`\log|\det J| = (D - 1) \log(1 + \beta h) + \log(1 + \alpha \beta h^2)`,
    :math:`h = 1 / (\alpha + r)`. Decoding solves a quadratic for r.

    Args:
        features: Size of a row.
        context_features: Size of the context that moves the centre, alpha and beta; 0 for none.
        hidden: Widths of the hidden layers of the network of the context.

    References:
        Rezende and Mohamed, Variational inference with normalizing flows (2015), eqs. 14 and
        appendix A.2. https://arxiv.org/abs/1505.05770
    """

    def __init__(
        self, features: int, context_features: int = 0, hidden: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.features = features
        first = {
            "centre": torch.randn(features),
            "log_alpha": torch.zeros(()),
            # Not zero, where the centre would have no gradient.
            "stretch": torch.tensor(FIRST_STRETCH),
        }
        self.values = Parameters(first, context_features, hidden)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        centre, alpha, beta = self._shape(context)
        offset = x.T - centre
        radius = _length(offset)
        factor = 1.0 + beta / (alpha + radius)
        return (centre + offset * factor).T, self._log_det(radius, alpha, beta)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        centre, alpha, beta = self._shape(context)
        offset = z.T - centre
        length = _length(offset)
        # r^2 - half * r - alpha * length = 0, by the form that does not cancel.
        half = length - alpha - beta
        root = torch.sqrt(half * half + 4.0 * alpha * length)
        radius = torch.where(half > 0, 0.5 * (half + root), 2.0 * alpha * length / (root - half))
        factor = (alpha + radius) / (alpha + radius + beta)
        return (centre + offset * factor).T, -self._log_det(radius, alpha, beta)

    def _shape(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The centre, alpha and beta; the centre with the batch last, which broadcasts faster."""
        centre, log_alpha, stretch = self.values(context)
        alpha = log_alpha.exp()
        beta = alpha * (nn.functional.softplus(stretch + _SOFTPLUS_ONE) - 1.0)
        return centre[:, None] if centre.dim() == 1 else centre.T, alpha, beta

    def _log_det(self, radius: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        h = 1.0 / (alpha + radius)
        along = torch.log1p(alpha * beta * h * h)
        return (self.features - 1) * torch.log1p(beta * h) + along


def _length(offset: Tensor) -> Tensor:
    return torch.sqrt((offset * offset).sum(dim=0) + MIN_SQUARED_DISTANCE)
