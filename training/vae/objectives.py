"""What autoencoders minimise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.prepared import FlowInput
from training.recipes import VAEConfig
from training.vae.autoencoder import Autoencoder
from training.vae.model import VAE

# How often a step that trains every depth of the posterior takes all of it.
FULL_DEPTH_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Bound:
    """The negative evidence bound, or the importance-weighted one.

    The divergence's weight grows from zero over the first epochs (warm-up), and a stochastic
    layer's divergence below its free bits costs nothing, so that latents are used before they are
    paid for; of a flow there is no divergence of a single latent number. Neither holds for the
    importance-weighted bound. Where the caller is to choose the posterior's depth, half of the
    steps take another depth than all of it.

    Attributes:
        config: The recipe's.
        is_likelihood: See :class:`training.objectives.Objective`.
        passes: See there.

    References:
        Burda et al., Importance weighted autoencoders (2016). https://arxiv.org/abs/1509.00519
        Kingma et al., Improving variational inference with inverse autoregressive flow (2016),
        appendix C.8 (free bits). https://arxiv.org/abs/1606.04934
    """

    config: VAEConfig
    is_likelihood: bool = False
    passes: int = 1

    def __call__(
        self, model: VAE, rows: FlowInput, noise: np.random.Generator, epoch: int
    ) -> Tensor:
        """See :class:`training.objectives.Objective`."""
        config = self.config
        depth = _depth(model.depths(), noise)
        drawn = gaussian_noise(model, rows.x, config.importance_samples, noise)
        parts = model.parts(rows.x, drawn, depth)
        if config.importance_samples > 1:
            return -importance_bound(parts.log_weight()).mean()
        weight = min(1.0, (epoch + 1) / config.warm_up) if config.warm_up else 1.0
        paid = [
            torch.clamp(divergence.mean(), min=config.free_bits * size)
            for divergence, size in zip(parts.divergences, model.latents, strict=True)
        ]
        return weight * torch.stack(paid).sum() - parts.log_likelihood.mean()

    def nats(self, model: VAE, rows: FlowInput, noise: np.random.Generator) -> Tensor:
        """See :meth:`training.objectives.Objective.nats`: the bound of as many draws."""
        drawn = gaussian_noise(model, rows.x, self.config.importance_samples, noise)
        return importance_bound(model.log_weight(rows.x, drawn))

    def validation_rows(self, model: VAE) -> int | None:
        """See :meth:`training.objectives.Objective.validation_rows`."""
        return None


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The mean squared error, in columns of unit variance.

    Attributes:
        is_likelihood: See :class:`training.objectives.Objective`.
        passes: See there.
    """

    is_likelihood: bool = False
    passes: int = 1

    def __call__(
        self, model: Autoencoder, rows: FlowInput, noise: np.random.Generator, epoch: int
    ) -> Tensor:
        """See :class:`training.objectives.Objective`."""
        return model.error(rows.x).mean()

    def nats(self, model: Autoencoder, rows: FlowInput, noise: np.random.Generator) -> Tensor:
        """See :meth:`training.objectives.Objective.nats`: the negative error, no nats."""
        return -model.error(rows.x)

    def validation_rows(self, model: Autoencoder) -> int | None:
        """See :meth:`training.objectives.Objective.validation_rows`."""
        return None


def importance_bound(log_weights: Tensor) -> Tensor:
    """The logarithm of the mean weight, nats, of ``(rows, samples)``."""
    return torch.logsumexp(log_weights, dim=1) - math.log(log_weights.shape[1])


def gaussian_noise(model: VAE, x: Tensor, samples: int, noise: np.random.Generator) -> Tensor:
    """Standard normal numbers ``(rows, samples, latents)``."""
    shape = (len(x), samples, sum(model.latents))
    return torch.from_numpy(noise.standard_normal(shape, dtype=np.float32)).to(x)


def _depth(offered: tuple[int, ...], noise: np.random.Generator) -> int | None:
    """All, or one of the other depths."""
    if len(offered) < 2 or noise.random() < FULL_DEPTH_SHARE:
        return None
    return int(noise.choice(offered[:-1]))
