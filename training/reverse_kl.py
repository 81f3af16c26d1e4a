"""Flows fitted to a density that is known up to a factor, without rows from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.flow import Flow
from training.recipes import ReverseKLConfig

# Of rows ``(batch, features)``, minus the logarithm of the density up to a constant, ``(batch,)``.
Energy = Callable[[Tensor], Tensor]

CLIP_NORM = 5.0


@dataclass(frozen=True, slots=True)
class Divergence:
    """KL(q, p) of a flow q from a density p.

    Attributes:
        nats: Estimate over draws of the flow.
        standard_error: Of that.
    """

    nats: float
    standard_error: float


class Descent:
    r"""Minimise :math:`E_q[\log q(z) + E(z)]` over draws of the flow q, one step at a time.

    Args:
        flow: To be fitted; its decode direction is what is trained through.
        energy: Of the target.
        features: Size of a row.
        config: Of the fit.
        seed: Of the draws.

    References:
        Rezende and Mohamed, Variational inference with normalizing flows (2015), section 6.1.
        https://arxiv.org/abs/1505.05770
    """

    def __init__(
        self, flow: Flow, energy: Energy, features: int, config: ReverseKLConfig, seed: int
    ) -> None:
        self.done = 0
        self.optimiser = torch.optim.Adam(flow.parameters(), lr=config.learning_rate)
        self._flow, self._energy = flow, energy
        self._features, self._config = features, config
        self._generator = torch.Generator().manual_seed(seed)

    def go_on(self, done: int, optimiser: dict[str, Any]) -> None:
        """From a number of steps on, with the optimiser's state then; the flow's is the caller's.

        The noise of the steps done is drawn again, so that the others take what they would have.
        """
        self.optimiser.load_state_dict(optimiser)
        while self.done < done:
            self._noise()
            self.done += 1

    def step(self) -> float:
        r"""One step.

        Returns:
            Of its draws the mean of :math:`-E(z) - \log q(z)`, on average a lower bound of the
            logarithm of the integral of exp(-E), nats.

        Raises:
            ValueError: If the loss or its gradient is not finite any more.
        """
        self._set_learning_rate()
        z, log_q = drawn(self._flow, self._noise())
        energy = self._energy(z)
        loss = (log_q + self._weight() * energy).mean()
        self._refuse_divergence(loss)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._refuse_divergence(torch.nn.utils.clip_grad_norm_(self._flow.parameters(), CLIP_NORM))
        self.optimiser.step()
        self.done += 1
        return float(-(log_q + energy).mean().detach())

    def _noise(self) -> Tensor:
        return torch.randn(self._config.batch, self._features, generator=self._generator)

    def _set_learning_rate(self) -> None:
        rate = 0.5 * (1.0 + math.cos(math.pi * self.done / self._config.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = self._config.learning_rate * rate

    def _weight(self) -> float:
        warm_up = self._config.warm_up
        return min(1.0, (self.done + 1) / warm_up) if warm_up else 1.0

    def _refuse_divergence(self, value: Tensor) -> None:
        if not value.isfinite():
            raise ValueError(
                f"the fit diverged in step {self.done + 1}: try a smaller learning_rate than "
                f"{self._config.learning_rate:g}"
            )


def fit_reverse_kl(
    flow: Flow,
    energy: Energy,
    features: int,
    config: ReverseKLConfig | None = None,
    seed: int = 0,
) -> None:
    """All steps of a :class:`Descent`, whose arguments and errors these are.

    Args:
        flow: See there.
        energy: See there.
        features: See there.
        config: The defaults where None.
        seed: See there.
    """
    config = config or ReverseKLConfig()
    descent = Descent(flow, energy, features, config, seed)
    while descent.done < config.steps:
        descent.step()


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
