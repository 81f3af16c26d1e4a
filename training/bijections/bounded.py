"""From an interval to the whole line, by a formula."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.bijections.base import Bijection
from training.bijections.elementwise import log_cosh

# How far inside of its interval, in units of its size, the map takes a value on the end to lie. A
# power of two, exact in float32, and large against float32's rounding of a value near the end.
SQUEEZE = 2.0**-13


class Bounded(Bijection):
    r"""Open features that end: a logit between two ends, an inverse softplus above or below one.

    In scaled units, where two ends are at -1 and 1 and a single one is at 0, with
    :math:`\alpha` = :data:`SQUEEZE`:

    * two ends, :math:`d_\pm = 1 \pm (1 - \alpha) x`: :math:`z = \log d_+ - \log d_-` and
      :math:`\log|dz/dx| = \log 2(1 - \alpha) - \log d_+ - \log d_-`;
    * an end below, :math:`v = x + \alpha`: :math:`z = \log(e^v - 1)` and
      :math:`\log|dz/dx| = -\log(1 - e^{-v})`; an end above is its mirror image;
    * no end: the identity.

    The squeeze keeps a value on its end finite (|z| is 9.7 or 9.0 there). In return decode of a
    larger |z| gives an x beyond the end. A density that is flat near an end puts there what it
    puts on the last :math:`\alpha / 2` of the interval between two ends, 1/16,000 of the mass of
    a uniform density at each; above a single end, what it puts on :math:`\alpha` of its unit.

    Args:
        lower: Shape ``(features,)``, True where there is an end below.
        upper: Shape ``(features,)``, True where there is an end above.
    """

    both: Tensor
    neither: Tensor
    sign: Tensor

    def __init__(self, lower: Tensor, upper: Tensor) -> None:
        super().__init__()
        self.register_buffer("both", lower & upper)
        self.register_buffer("neither", ~(lower | upper))
        # Turns an end above into one below.
        self.register_buffer("sign", torch.where(lower, 1.0, -1.0))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`; NaN beyond the squeezed ends."""
        z, terms = self.encode_terms(x)
        return z, terms.sum(dim=1)

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return True

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        inner, inner_slope = _logit(torch.where(self.both, x, 0.0))
        single = ~(self.both | self.neither)
        outer, outer_slope = _inverse_softplus(torch.where(single, self.sign * x, 0.0))
        return self._chosen((inner, self.sign * outer, x), (inner_slope, outer_slope))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        inner, inner_slope = _squeezed_tanh(z)
        outer, outer_slope = _softplus(self.sign * z)
        x, terms = self._chosen((inner, self.sign * outer, z), (inner_slope, outer_slope))
        return x, terms.sum(dim=1)

    def _chosen(
        self, values: tuple[Tensor, Tensor, Tensor], log_slopes: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Of the three maps, that of each feature."""
        value = torch.where(self.both, values[0], torch.where(self.neither, values[2], values[1]))
        slope = torch.where(self.both, log_slopes[0], log_slopes[1])
        return value, torch.where(self.neither, 0.0, slope)


class Squash(Bijection):
    r"""The logistic function of every feature, :math:`z = 1 / (1 + e^{-x})`: onto the unit box.

    Decode takes a z rounded to 0 or 1 for the nearest number within.
    """

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        z, terms = self.encode_terms(x)
        return z, terms.sum(dim=1)

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return True

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        return torch.sigmoid(x), -2.0 * log_cosh(0.5 * x) - 2.0 * math.log(2.0)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        limits = torch.finfo(z.dtype)
        inside = z.clamp(limits.tiny, 1.0 - 0.5 * limits.eps)
        low, high = inside.log(), torch.log1p(-inside)
        return low - high, -(low + high).sum(dim=1)


def _logit(x: Tensor) -> tuple[Tensor, Tensor]:
    # Distances from the ends: the first differences are exact near them.
    low = ((1.0 + x) - SQUEEZE * x).log()
    high = ((1.0 - x) + SQUEEZE * x).log()
    return low - high, math.log(2.0 * (1.0 - SQUEEZE)) - low - high


def _squeezed_tanh(z: Tensor) -> tuple[Tensor, Tensor]:
    log_slope = -2.0 * log_cosh(0.5 * z) - math.log(2.0 * (1.0 - SQUEEZE))
    return torch.tanh(0.5 * z) / (1.0 - SQUEEZE), log_slope


def _inverse_softplus(x: Tensor) -> tuple[Tensor, Tensor]:
    v = x + SQUEEZE
    # 1 - exp(-v), as hyperbolic tangents have no difference of near numbers.
    half = torch.tanh(0.5 * v)
    log_share = (2.0 * half / (1.0 + half)).log()
    return v + log_share, -log_share


def _softplus(z: Tensor) -> tuple[Tensor, Tensor]:
    rest = torch.log1p(torch.exp(-z.abs()))
    return z.clamp(min=0.0) + rest - SQUEEZE, -((-z).clamp(min=0.0) + rest)
