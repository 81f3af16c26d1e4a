"""Maps of each feature on its own by a formula: scaling and tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection

# Keeps ActNorm's first scale finite on a feature that does not vary within the first batch.
ACTNORM_MIN_DEVIATION = 1e-6


class Standardise(Bijection):
    r"""The fixed map :math:`z = (x - c) / s` from the user's unit to numbers near one.

    It is never folded with its neighbours: the subtraction must see the raw value's digits.

    Args:
        centre: Shape ``(features,)``, in the user's unit.
        scale: Shape ``(features,)``, positive, in the user's unit.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        if not bool((scale > 0).all()):
            raise ValueError(f"expected positive scales, got {scale.min().item()}")
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        return (x - self.centre) / self.scale, self._log_det(x).neg()

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        return z * self.scale + self.centre, self._log_det(z)

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return True

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        return self.encode(x)[0], self.scale.log().neg().expand_as(x)

    def _log_det(self, rows: Tensor) -> Tensor:
        return self.scale.log().sum() + rows.new_zeros(rows.shape[0])


class ActNorm(Bijection):
    r"""A learned scale and shift :math:`z = e^{s} x + b`, set by the first batch to unit moments.

    Args:
        features: Size of a row.

    References:
        Kingma and Dhariwal, Glow (2018), section 3.1. https://arxiv.org/abs/1807.03039
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        return x * self.log_scale.exp() + self.shift, self._log_det(x)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        return (z - self.shift) * self.log_scale.neg().exp(), self._log_det(z).neg()

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return True

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        return self.encode(x)[0], self.log_scale.expand_as(x)

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """See :meth:`Bijection.initialise`."""
        deviation = x.std(dim=0).clamp_min(ACTNORM_MIN_DEVIATION)
        self.log_scale.copy_(-deviation.log())
        self.shift.copy_(-x.mean(dim=0) / deviation)

    def as_affine(self) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.as_affine`."""
        return torch.diag(self.log_scale.exp()), self.shift

    def _log_det(self, rows: Tensor) -> Tensor:
        return self.log_scale.sum() + rows.new_zeros(rows.shape[0])


class ArcsinhTails(Bijection):
    r"""Compress heavy tails: :math:`z = \operatorname{arcsinh}(t x) / t` for each feature.

    Near zero it is the identity and far out a logarithm, so a row a thousand deviations away costs
    nats, not the square of its distance.

    Args:
        tightness: Shape ``(features,)``, positive; near zero the map is the identity.

    References:
        Burbidge et al., Alternative transformations to handle extreme values (1988).
    """

    tightness: Tensor

    def __init__(self, tightness: Tensor) -> None:
        super().__init__()
        if not bool((tightness > 0).all()):
            raise ValueError(f"expected positive tightness, got {tightness.min().item()}")
        self.register_buffer("tightness", tightness)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        bent = torch.asinh(x * self.tightness)
        return bent / self.tightness, -log_cosh(bent).sum(dim=1)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        bent = z * self.tightness
        return sinh(bent) / self.tightness, log_cosh(bent).sum(dim=1)

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return True

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        bent = torch.asinh(x * self.tightness)
        return bent / self.tightness, -log_cosh(bent)


def sinh(bent: Tensor) -> Tensor:
    """The hyperbolic sine by functions that onnxruntime has vectorised; near zero as exact."""
    size = bent.abs()
    return torch.tanh(bent) * (0.5 * torch.exp(size)) * (1.0 + torch.exp(-2.0 * size))


def log_cosh(bent: Tensor) -> Tensor:
    r"""Logarithm of :math:`\cosh(b) = \sqrt{1 + \sinh^2 b}`, without squaring what may be huge."""
    size = bent.abs()
    return size + torch.log1p(torch.exp(-2.0 * size)) - math.log(2.0)
