"""Bounds of rows, estimated with many draws of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.vae.model import VAE
from training.vae.objectives import gaussian_noise

# Numbers of rows and samples together that are worked on at once, and most samples of them.
MOST_NUMBERS, MOST_SAMPLES = 2**22, 500

Nats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of each row, nats.

    Attributes:
        elbo: Mean of the log weights.
        importance_bound: Logarithm of the mean weight.
    """

    elbo: Nats
    importance_bound: Nats


@torch.no_grad()
def bounds(
    model: VAE,
    x: Tensor,
    samples: int,
    noise: np.random.Generator,
    depth: int | None = None,
) -> Bounds:
    """Bounds of rows in the model's unit, without the log-det of their scaling.

    Args:
        model: Float32 or float64, as the rows.
        x: Shape ``(rows, features)``.
        samples: Draws of each row.
        noise: Draws them.
        depth: Of the posterior; None for all of it.
    """
    at_once = min(samples, MOST_SAMPLES)
    step = max(1, MOST_NUMBERS // (at_once * x.shape[1]))
    parts = [
        _of_few(model, x[i : i + step], samples, noise, depth) for i in range(0, len(x), step)
    ]
    elbo, importance = (np.concatenate(both) for both in zip(*parts, strict=True))
    return Bounds(elbo, importance)


def _of_few(
    model: VAE, x: Tensor, samples: int, noise: np.random.Generator, depth: int | None
) -> tuple[Nats, Nats]:
    total, log_sum = torch.zeros(len(x)).double(), torch.full((len(x),), -torch.inf).double()
    for start in range(0, samples, MOST_SAMPLES):
        count = min(MOST_SAMPLES, samples - start)
        weights = model.log_weight(x, gaussian_noise(model, x, count, noise), depth).double()
        total += weights.sum(dim=1)
        log_sum = torch.logaddexp(log_sum, torch.logsumexp(weights, dim=1))
    return (total / samples).numpy(), (log_sum - np.log(samples)).numpy()
