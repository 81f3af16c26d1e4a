"""Flows fitted to a density that is known up to a factor, without rows from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.flow import Flow

# Of rows ``(batch, features)``, minus the logarithm of the density up to a constant, ``(batch,)``.
Energy = Callable[[Tensor], Tensor]

CLIP_NORM = 5.0


@dataclass(frozen=True, slots=True)
class ReverseKLConfig:
    """How a flow is fitted to an energy.

    Attributes:
        steps: Of Adam.
        batch: Draws in a step.
        learning_rate: Peak; half a cosine down to zero.
        warm_up: Steps in which the energy's weight grows to one, so that the flow spreads over
            all bumps before it settles.
        seed: Of the draws.
    """

    steps: int = 4000
    batch: int = 512
    learning_rate: float = 5e-3
    warm_up: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Divergence:
    """KL(q, p) of a flow q from a density p.

    Attributes:
        nats: Estimate over draws of the flow.
        standard_error: Of that.
    """

    nats: float
    standard_error: float


def fit_reverse_kl(
    flow: Flow, energy: Energy, features: int, config: ReverseKLConfig | None = None
) -> None:
    r"""Minimise :math:`E_q[\log q(z) + E(z)]` over draws of the flow, which ends in it.

    Args:
        flow: To be fitted; its decode direction is what is trained through.
        energy: Of the target.
        features: Size of a row.
        config: The defaults where None.

    Raises:
        ValueError: If the loss is not finite any more.

    References:
        Rezende and Mohamed, Variational inference with normalizing flows (2015), section 6.1.
        https://arxiv.org/abs/1505.05770
    """
    config = config or ReverseKLConfig()
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.Adam(flow.parameters(), lr=config.learning_rate)
    for step in range(config.steps):
        rate = 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * rate
        weight = min(1.0, (step + 1) / config.warm_up) if config.warm_up else 1.0
        z, log_q = drawn(flow, torch.randn(config.batch, features, generator=generator))
        loss = (log_q + weight * energy(z)).mean()
        if not loss.isfinite():
            raise ValueError(f"the fit diverged in step {step + 1}: try a smaller learning_rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(flow.parameters(), CLIP_NORM)
        optimiser.step()


def drawn(flow: Flow, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of a flow with a standard normal base, for noise, and their log-density in nats."""
    z, log_det = flow.bijection.decode(noise)
    return z, flow.base.log_prob(noise) - log_det


@torch.no_grad()
def reverse_kl(flow: Flow, energy: Energy, log_normaliser: float, noise: Tensor) -> Divergence:
    """The divergence of a flow from a density.

    Args:
        flow: With a standard normal base.
        energy: Of the density.
        log_normaliser: Logarithm of the integral of exp(-energy), nats.
        noise: Standard normal, ``(draws, features)``.
    """
    z, log_q = drawn(flow, noise)
    nats = (log_q + energy(z)).double() + log_normaliser
    return Divergence(float(nats.mean()), float(nats.std() / math.sqrt(len(nats))))
