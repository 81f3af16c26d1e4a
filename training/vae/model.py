"""Variational autoencoders with one or more stochastic layers, and flows inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from training.bases import StandardNormal
from training.flow import Flow
from training.trainee import Trainee
from training.vae.likelihoods import Likelihood
from training.vae.posterior import LOG_SCALE_BOUND, PosteriorFlow

Depth = Tensor | int | None


class Gaussian(nn.Module):
    """A diagonal Gaussian whose mean and log scale a network gives, and further numbers.

    Args:
        network: With heads for the mean, for the log scale, and maybe for a context.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mean, log scale (nats) and context of rows; the last is None without a head for it."""
        mean, log_scale, *rest = self.network(rows)
        log_scale = LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)
        return mean, log_scale, rest[0] if rest else None


@dataclass(frozen=True, slots=True)
class Inferred:
    """One stochastic layer seen from below, for flat rows and samples.

    Attributes:
        mean: Of the Gaussian, ``(rows * samples, latents)``.
        scale: Of the Gaussian.
        z: Behind the flow.
        log_q: Log-density of ``z`` given what is below, nats, ``(rows * samples,)``.
    """

    mean: Tensor
    scale: Tensor
    z: Tensor
    log_q: Tensor


class Level(nn.Module):
    """The posterior of one stochastic layer.

    Args:
        gaussian: Given what is below: the row, or the latents of the layer before.
        flow: Behind it; None leaves the Gaussian.
    """

    def __init__(self, gaussian: Gaussian, flow: PosteriorFlow | None) -> None:
        super().__init__()
        self.gaussian, self.flow = gaussian, flow

    def forward(self, below: Tensor, noise: Tensor, depth: Depth) -> Inferred:
        """Infer from ``(rows, size)`` with noise ``(rows, samples, latents)``."""
        samples = noise.shape[1]
        mean, log_scale, context = self.gaussian(below)
        mean, log_scale = _spread(mean, samples), _spread(log_scale, samples)
        noise = noise.flatten(0, 1)
        scale = log_scale.exp()
        z = mean + scale * noise
        log_q = StandardNormal().log_prob(noise) - log_scale.sum(dim=1)
        if self.flow is not None:
            context = None if context is None else _spread(context, samples)
            z, log_det = self.flow(z, context, depth)
            log_q = log_q - log_det
        return Inferred(mean, scale, z, log_q)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a log weight.

    Attributes:
        log_likelihood: log p(x | z), nats, ``(rows, samples)``.
        divergences: Of each stochastic layer log q(z) - log p(z), nats, ``(rows, samples)``.
    """

    log_likelihood: Tensor
    divergences: list[Tensor]

    def log_weight(self) -> Tensor:
        """Log p(x, z) - log q(z | x), nats, ``(rows, samples)``."""
        return self.log_likelihood - torch.stack(self.divergences).sum(dim=0)


class VAE(Trainee):
    r"""A generative model :math:`p(x \mid z_1)\,p(z_1 \mid z_2) \cdots p(z_n)` and its posterior.

    The posterior goes the same way back, :math:`q(z_1 \mid x)\,q(z_2 \mid z_1) \cdots`, each step
    a Gaussian with a flow behind it. The prior of the last layer may be a flow. Noise is always
    given: nothing here draws.

    Args:
        levels: Posteriors of the stochastic layers, from the data upwards.
        upper: For each layer but the last, its Gaussian given the layer above.
        prior: Density of the last layer.
        decoder: From the first layer's latents to the likelihood's tables.
        likelihood: Of rows.
        latents: Size of each stochastic layer.

    References:
        Kingma and Welling, Auto-encoding variational Bayes (2014).
        https://arxiv.org/abs/1312.6114
        Rezende and Mohamed, Variational inference with normalizing flows (2015).
        https://arxiv.org/abs/1505.05770
    """

    def __init__(
        self,
        levels: Sequence[Level],
        upper: Sequence[Gaussian],
        prior: Flow,
        decoder: nn.Module,
        likelihood: Likelihood,
        latents: Sequence[int],
    ) -> None:
        super().__init__()
        self.levels, self.upper = nn.ModuleList(levels), nn.ModuleList(upper)
        self.prior, self.decoder, self.likelihood = prior, decoder, likelihood
        self.latents = tuple(latents)

    def each_level(self) -> list[Level]:
        """The posteriors, from the data upwards."""
        return cast("list[Level]", list(self.levels))

    def depths(self) -> tuple[int, ...]:
        """Depths of the posterior on offer; none where there is no flow."""
        flow = self.each_level()[0].flow
        return () if flow is None else flow.offered

    def infer(self, x: Tensor, noise: Tensor, depth: Depth = None) -> list[Inferred]:
        """Every stochastic layer's posterior.

        Args:
            x: Rows in the model's unit, ``(rows, features)``.
            noise: Standard normal, ``(rows, samples, sum of latents)``.
            depth: See :class:`PosteriorFlow`.
        """
        found: list[Inferred] = []
        below, parts = x, torch.split(noise, list(self.latents), dim=2)
        for level, part in zip(self.levels, parts, strict=True):
            # Behind the first layer every sample goes its own way.
            own = part if not found else part.flatten(0, 1).unsqueeze(1)
            found.append(level(below, own, depth))
            below = found[-1].z
        return found

    def parts(self, x: Tensor, noise: Tensor, depth: Depth = None) -> Parts:
        """What a log weight consists of; arguments are those of :meth:`infer`."""
        rows, samples = noise.shape[:2]
        found = self.infer(x, noise, depth)
        priors = [
            _log_normal(below.z, *gaussian(above.z)[:2])
            for below, above, gaussian in zip(found, found[1:], self.upper, strict=False)
        ]
        priors.append(self.prior(found[-1].z))
        divergences = [
            torch.unflatten(one.log_q - log_p, 0, (rows, samples))
            for one, log_p in zip(found, priors, strict=True)
        ]
        tables = (torch.unflatten(t, 0, (rows, samples)) for t in self.decoder(found[0].z))
        return Parts(self.likelihood.log_prob(x.unsqueeze(1), *tables), divergences)

    def log_weight(self, x: Tensor, noise: Tensor, depth: Depth = None) -> Tensor:
        """Log p(x, z) - log q(z | x) in nats, ``(rows, samples)``; see :meth:`infer`."""
        return self.parts(x, noise, depth).log_weight()

    def mean(self, z: Tensor) -> Tensor:
        """The likelihood's mean for the first layer's latents ``(rows, latents[0])``."""
        return self.likelihood.mean(*self.decoder(z))

    def generate(self, noise: Tensor) -> list[Tensor]:
        """Latents of every layer, from the data upwards, for noise ``(rows, sum of latents)``."""
        parts = torch.split(noise, list(self.latents), dim=1)
        z = self.prior.bijection.decode(parts[-1])[0]
        found = [z]
        for gaussian, part in zip(reversed(self.upper), reversed(parts[:-1]), strict=True):
            mean, log_scale, _ = gaussian(z)
            z = mean + log_scale.exp() * part
            found.append(z)
        return found[::-1]

    def draw(self, z: Tensor, noise: Tensor) -> Tensor:
        """Rows for latents of the first layer, and noise of the likelihood."""
        return self.likelihood.draw(noise, *self.decoder(z))

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set the prior's data-dependent parameters from a first batch."""
        drawn = torch.Generator().manual_seed(0)
        noise = torch.randn(x.shape[0], 1, sum(self.latents), generator=drawn).to(x)
        self.prior.bijection.initialise(self.infer(x, noise)[-1].z)


def _spread(told: Tensor, samples: int) -> Tensor:
    """``(rows, size)`` for every sample, ``(rows * samples, size)``."""
    return told.unsqueeze(1).expand(-1, samples, -1).flatten(0, 1)


def _log_normal(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    noise = (z - mean) * torch.exp(-log_scale)
    return StandardNormal().log_prob(noise) - log_scale.sum(dim=1)
