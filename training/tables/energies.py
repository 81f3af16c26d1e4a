"""The four potentials of Rezende and Mohamed (2015), table 1, in two dimensions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.reverse_kl import Energy

# The last three repeat for ever along the first axis; here they end at this distance, softly.
END, SOFTNESS = 4.0, 0.2
# Quadrature over a square of this half width.
REACH, POINTS = 8.0, 1601


def _ring(z: Tensor) -> Tensor:
    radius: Tensor = 0.5 * ((z.norm(dim=1) - 2.0) / 0.4) ** 2
    return radius - _either(
        -0.5 * ((z[:, 0] - 2.0) / 0.6) ** 2, -0.5 * ((z[:, 0] + 2.0) / 0.6) ** 2
    )


def _wave(z: Tensor) -> Tensor:
    return 0.5 * ((z[:, 1] - _sine(z)) / 0.4) ** 2 + _ended(z)


def _split_wave(z: Tensor) -> Tensor:
    gap = 3.0 * torch.exp(-0.5 * ((z[:, 0] - 1.0) / 0.6) ** 2)
    return _ended(z) - _either(
        -0.5 * ((z[:, 1] - _sine(z)) / 0.35) ** 2,
        -0.5 * ((z[:, 1] - _sine(z) + gap) / 0.35) ** 2,
    )


def _parting_wave(z: Tensor) -> Tensor:
    gap = 3.0 * torch.sigmoid((z[:, 0] - 1.0) / 0.3)
    return _ended(z) - _either(
        -0.5 * ((z[:, 1] - _sine(z)) / 0.4) ** 2,
        -0.5 * ((z[:, 1] - _sine(z) + gap) / 0.35) ** 2,
    )


def _sine(z: Tensor) -> Tensor:
    return torch.sin(0.5 * math.pi * z[:, 0])


def _either(first: Tensor, second: Tensor) -> Tensor:
    return torch.logaddexp(first, second)


def _ended(z: Tensor) -> Tensor:
    return 0.5 * (torch.relu(z[:, 0].abs() - END) / SOFTNESS) ** 2


ENERGIES: dict[str, Energy] = {
    "two bumps on a ring": _ring,
    "wave": _wave,
    "split wave": _split_wave,
    "parting wave": _parting_wave,
}


def log_normaliser(energy: Energy) -> float:
    """Logarithm of the integral of exp(-energy), nats, by quadrature."""
    axis = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64)
    cell = float(axis[1] - axis[0])
    grid = torch.cartesian_prod(axis, axis)
    return float(torch.logsumexp(-energy(grid), dim=0)) + 2.0 * math.log(cell)
