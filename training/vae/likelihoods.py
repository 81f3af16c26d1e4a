"""What a row is distributed as, given the latent: p(x | z)."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from exported import distributions
from training import bases

# Largest absolute log scale (nats) of a number in columns of unit variance: a density may not
# collapse onto values that repeat.
LOG_SCALE_BOUND = 5.0
# Distances in scales beyond this are taken for it: their squares must be finite in float32, so
# that a row however far out is unlikely and not without an answer.
FAR = 1e15


class Likelihood(nn.Module):
    """The density, or the probability, of rows whose parameters a decoder gives.

    Rows are ``(rows, 1, features)``, tables ``(rows, samples, features)``, one for each of
    :attr:`tables`.

    Attributes:
        tables: Numbers of each feature that the decoder gives.
        is_mass: Whether :meth:`log_prob` is the probability of whole numbers, and not a density
            that changes with the unit.
    """

    tables: int = 1
    is_mass: bool = False

    def log_prob(self, x: Tensor, *tables: Tensor) -> Tensor:
        """Log-likelihood in nats, ``(rows, samples)``."""
        raise NotImplementedError

    def mean(self, *tables: Tensor) -> Tensor:
        """The mean of x, shaped like a table."""
        raise NotImplementedError

    def draw(self, noise: Tensor, *tables: Tensor) -> Tensor:
        """An x for noise of :meth:`noise`, both shaped like a table."""
        raise NotImplementedError

    def noise(self, features: int) -> distributions.Base:
        """What :meth:`draw` needs, as the manifest tells it."""
        raise NotImplementedError

    def folded(self) -> Likelihood:
        """The same likelihood with nothing left to compute that does not depend on z."""
        return self


class Bernoulli(Likelihood):
    """Features that are 0 or 1."""

    is_mass = True

    def log_prob(self, x: Tensor, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.log_prob`."""
        logits = tables[0]
        return (x * logits - softplus(logits)).sum(dim=2)

    def mean(self, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.mean`: the probability of a 1."""
        return torch.sigmoid(tables[0])

    def draw(self, noise: Tensor, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.draw`."""
        return (noise < torch.sigmoid(tables[0])).to(noise.dtype)

    def noise(self, features: int) -> distributions.Base:
        """See :meth:`Likelihood.noise`."""
        return bases.Uniform().describe(features)


class LocationScale(Likelihood):
    """Features at a distance from the decoder's mean that is distributed alike for all rows.

    Each feature has its own scale, which is learned; one for each row could shrink without end
    where a decoder knows a value exactly.

    Args:
        base: Of the distances, factorised.
        features: Size of a row.
    """

    def __init__(self, base: bases.BaseDensity, features: int) -> None:
        super().__init__()
        self.base = base
        self.free_log_scale = nn.Parameter(torch.zeros(features))

    def log_scale(self) -> Tensor:
        """Of each feature, nats, shape ``(features,)``."""
        return LOG_SCALE_BOUND * torch.tanh(self.free_log_scale / LOG_SCALE_BOUND)

    def log_prob(self, x: Tensor, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.log_prob`."""
        log_scale = self.log_scale()
        distance = ((x - tables[0]) * torch.exp(-log_scale)).clamp(-FAR, FAR)
        return (self.base.terms(distance) - log_scale).sum(dim=2)

    def mean(self, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.mean`."""
        return tables[0]

    def draw(self, noise: Tensor, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.draw`."""
        return tables[0] + self.log_scale().exp() * noise

    def noise(self, features: int) -> distributions.Base:
        """See :meth:`Likelihood.noise`."""
        return self.base.describe(features)

    def folded(self) -> Likelihood:
        """See :meth:`Likelihood.folded`."""
        other = copy.deepcopy(self)
        other.base = other.base.folded()
        return other


class DiscretisedLogistic(Likelihood):
    r"""Whole numbers: the mass that a logistic density has in each one's cell.

    With :math:`a` and :math:`b` the ends of the cell in scales from the mean, the mass is
    :math:`\sigma(a) - \sigma(b) = \sigma(a)\,\sigma(-b)\,(1 - e^{b - a})`, which loses no digits
    however far out the cell is. The smallest and the largest number take the rest of the axis.

    Args:
        half_cell: Half a cell of each feature, in the unit of the rows, ``(features,)``.
        low: Smallest value of each feature; minus infinity without an end.
        high: Largest value; infinity without one.
        whole: Where some whole number of each feature is.

    References:
        Salimans et al., PixelCNN++ (2017), eq. 2. https://arxiv.org/abs/1701.05517
    """

    tables = 2
    is_mass = True
    half_cell: Tensor
    low: Tensor
    high: Tensor
    whole: Tensor

    def __init__(self, half_cell: Tensor, low: Tensor, high: Tensor, whole: Tensor) -> None:
        super().__init__()
        self.register_buffer("half_cell", half_cell)
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.register_buffer("whole", whole)
        self.has_ends = bool(low.isfinite().all() and high.isfinite().all())

    def log_prob(self, x: Tensor, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.log_prob`."""
        mean, log_scale = tables[0], _bounded(tables[1])
        precision = torch.exp(-log_scale)
        upper = (x + self.half_cell - mean) * precision
        lower = (x - self.half_cell - mean) * precision
        is_last, is_first = x > self.high - self.half_cell, x < self.low + self.half_cell
        # Softplus and not the logarithm of a sigmoid: exported, that is of zero far out.
        # 1 - exp(-d) by a hyperbolic tangent, which is exact for small d in every runtime.
        bend = torch.tanh(self.half_cell * precision)
        inside = math.log(2.0) + bend.log() - torch.log1p(bend)
        from_above = torch.where(is_last, torch.zeros_like(upper), -softplus(-upper))
        from_below = torch.where(is_first, torch.zeros_like(lower), -softplus(lower))
        rest = torch.where(is_last | is_first, torch.zeros_like(inside), inside)
        return (from_above + from_below + rest).sum(dim=2)

    def mean(self, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.mean`.

        Of the logistic density, what lies beyond an end moved to it: the integral of its
        distribution function over the range.
        """
        if not self.has_ends:
            return tables[0]
        scale = _bounded(tables[1]).exp()
        above = softplus((tables[0] - self.low) / scale) - softplus(
            (tables[0] - self.high) / scale
        )
        return torch.minimum(torch.maximum(self.low + scale * above, self.low), self.high)

    def draw(self, noise: Tensor, *tables: Tensor) -> Tensor:
        """See :meth:`Likelihood.draw`."""
        drawn = tables[0] + _bounded(tables[1]).exp() * torch.logit(noise)
        cells = torch.round((drawn - self.whole) / (2.0 * self.half_cell))
        x = self.whole + 2.0 * self.half_cell * cells
        return torch.minimum(torch.maximum(x, self.low), self.high)

    def noise(self, features: int) -> distributions.Base:
        """See :meth:`Likelihood.noise`."""
        return bases.Uniform().describe(features)


def _bounded(log_scale: Tensor) -> Tensor:
    return LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)
