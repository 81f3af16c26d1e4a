"""A flow: a base distribution and a bijection make an exact density."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.bijections import Bijection, Chain, Linear
from training.networks import unmask


class StandardNormal(nn.Module):
    """Independent standard normal numbers, the density of z."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats of ``(batch, features)``, shape ``(batch,)``."""
        return -0.5 * (z * z).sum(dim=1) - 0.5 * math.log(2.0 * math.pi) * z.shape[1]


class Flow(nn.Module):
    r"""The density :math:`\log p(x) = \log p_z(z) + \log|\det \partial z / \partial x|`.

    Args:
        bijection: Maps data to latent.
    """

    def __init__(self, bijection: Chain) -> None:
        super().__init__()
        self.bijection = bijection
        self.base = StandardNormal()

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of rows ``(batch, features)`` in nats, shape ``(batch,)``.

        Args:
            x: Rows.
            context: Of each row, shape ``(batch, context_features)``; None without.
        """
        z, log_det = self.bijection.encode(x, context)
        log_prob: Tensor = self.base.log_prob(z) + log_det
        return log_prob


@torch.no_grad()
def folded(chain: Chain) -> Chain:
    """The same map in float64 with every run of affine layers folded into one :class:`Linear`.

    Inverses and log-dets become constants, so an exported graph holds no linear solve; masks are
    multiplied into the weights.
    """
    layers: list[Bijection] = []
    copied = copy.deepcopy(chain).double().eval()
    unmask(copied)
    for bijection in _flattened(copied.bijections):
        affine = bijection.as_affine()
        if affine is None:
            layers.append(bijection)
            continue
        weight, bias = affine
        if layers and isinstance(layers[-1], Linear):
            before = layers.pop().as_affine()
            if before is not None:
                weight, bias = weight @ before[0], weight @ before[1] + bias
        layers.append(Linear(weight, bias))
    return Chain(layers)


def _flattened(bijections: Sequence[Bijection]) -> list[Bijection]:
    flat: list[Bijection] = []
    for bijection in bijections:
        flat.extend(
            _flattened(bijection.bijections) if isinstance(bijection, Chain) else [bijection]
        )
    return flat
