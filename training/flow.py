"""A flow: a base distribution and a bijection make an exact density."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from training.bases import BaseDensity, StandardNormal
from training.bijections import Autoregressive, Bijection, Chain, Coupling, Linear
from training.bijections.orthonormal import fix
from training.masked import unmask
from training.trainee import Trainee


class Flow(Trainee):
    r"""The density :math:`\log p(x) = \log p_z(z) + \log|\det \partial z / \partial x|`.

    Args:
        bijection: Maps data to latent.
        base: Density of the latent; standard normal where None is given.
    """

    def __init__(self, bijection: Chain, base: BaseDensity | None = None) -> None:
        super().__init__()
        self.bijection = bijection
        self.base = base or StandardNormal()

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of rows ``(batch, features)`` in nats, shape ``(batch,)``.

        Args:
            x: Rows.
            context: Of each row, shape ``(batch, context_features)``; None without.
        """
        z, log_det = self.bijection.encode(x, context)
        log_prob: Tensor = self.base.log_prob(z) + log_det
        return log_prob

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """See :meth:`Trainee.initialise`."""
        self.bijection.initialise(x, context)

    def has_terms(self) -> bool:
        """Whether :meth:`feature_log_prob` exists: one feature order, and a factorised base."""
        return self.bijection.is_triangular() and self.base.is_factorised()

    def feature_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""The terms :math:`\log p(x_i \mid x_{<i})` of rows in nats, ``(batch, features)``.

        They sum to the log-density. Arguments are those of :meth:`forward`.

        Raises:
            TypeError: If there are none; see :meth:`has_terms`.
        """
        z, terms = self.bijection.encode_terms(x, context)
        return self.base.terms(z) + terms


@torch.no_grad()
def folded(chain: Chain) -> Chain:
    """The same map in float64 with every run of affine layers folded into one :class:`Linear`.

    Inverses and log-dets become constants, so an exported graph holds no linear solve; masks are
    multiplied into the weights, orthonormal matrices computed, and heads do what an elementwise
    map would do first to every table. Chains inside of other bijections are folded too.
    """
    layers: list[Bijection] = []
    copied = copy.deepcopy(chain).double().eval()
    unmask(copied)
    fix(copied)
    _absorb(copied)
    for bijection in _flattened(copied.bijections):
        for name, child in bijection.named_children():
            if isinstance(child, Chain):
                setattr(bijection, name, folded(child))
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


def _absorb(chain: Chain) -> None:
    for module in chain.modules():
        if isinstance(module, Coupling | Autoregressive):
            module.elementwise.absorb(module.conditioner)


def _flattened(bijections: Sequence[Bijection]) -> list[Bijection]:
    flat: list[Bijection] = []
    for bijection in bijections:
        flat.extend(
            _flattened(bijection.bijections) if isinstance(bijection, Chain) else [bijection]
        )
    return flat
