"""What every bijection must obey, as functions of a bijection and rows; all in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.bijections import Bijection, Chain

# Exactness of one fresh bijection in float64; a strained one is allowed its own conditioning.
EXACT = 1e-8
ROUNDING = 1e-13
# Quadrature of a density with kinks on a grid of this spacing.
MASS_TOLERANCE = 2e-3
GRID_HALF_WIDTH, GRID_POINTS = 10.0, 801


def jacobians(bijection: Bijection, x: Tensor, context: Tensor | None = None) -> Tensor:
    """Full Jacobian of encode at each row, ``(batch, features, features)``."""

    def one(row: Tensor, given: Tensor | None) -> Tensor:
        return torch.autograd.functional.jacobian(
            lambda x: bijection.encode(x[None], given)[0][0], row
        )

    return torch.stack([one(x[i], _row(context, i)) for i in range(len(x))])


def round_trips(bijection: Bijection, x: Tensor, context: Tensor | None = None) -> None:
    z, there = bijection.encode(x, context)
    back, home = bijection.decode(z, context)
    singular = torch.linalg.svdvals(jacobians(bijection, x, context))
    condition = (1.0 / singular[:, -1]).max() * singular[:, 0].max()
    tolerance = max(EXACT, float(condition) * ROUNDING * float(x.abs().max()))
    assert (back - x).abs().max() <= tolerance
    assert (there + home).abs().max() <= tolerance


def log_det_is_that_of_the_jacobian(
    bijection: Bijection, x: Tensor, context: Tensor | None = None
) -> None:
    _, log_det = bijection.encode(x, context)
    assert log_det.shape == (len(x),)
    assert (log_det - _jacobians_log_det(bijection, x, context)).abs().max() <= EXACT


def _jacobians_log_det(bijection: Bijection, x: Tensor, context: Tensor | None) -> Tensor:
    """By autograd. Of a chain, the sum over its parts: their product is too near to singular."""
    if not isinstance(bijection, Chain):
        return torch.linalg.slogdet(jacobians(bijection, x, context)).logabsdet
    total = torch.zeros(len(x))
    for part in bijection.bijections:
        total = total + _jacobians_log_det(part, x, context)
        x = part.encode(x, context)[0].detach()
    return total


def rows_are_independent(bijection: Bijection, x: Tensor, context: Tensor | None = None) -> None:
    for direction in (bijection.encode, bijection.decode):
        together, log_dets = direction(x, context)
        for i in range(len(x)):
            alone, log_det = direction(x[i : i + 1], _row(context, i))
            assert (alone - together[i : i + 1]).abs().max() <= EXACT
            assert (log_det - log_dets[i : i + 1]).abs().max() <= EXACT


def density_integrates_to_one(bijection: Bijection, context: Tensor | None = None) -> None:
    """In two dimensions; a context is one row, ``(1, context_features)``."""
    axis = torch.linspace(-GRID_HALF_WIDTH, GRID_HALF_WIDTH, GRID_POINTS, dtype=torch.float64)
    given = None if context is None else context.expand(GRID_POINTS, -1)
    mass = 0.0
    for first in axis:
        x = torch.stack([first.expand(GRID_POINTS), axis], dim=1)
        z, log_det = bijection.encode(x, given)
        log_prob = -0.5 * (z * z).sum(dim=1) - math.log(2.0 * math.pi) + log_det
        mass += float(log_prob.exp().sum())
    mass *= float(axis[1] - axis[0]) ** 2
    assert abs(mass - 1.0) <= MASS_TOLERANCE


def gradient_reaches_every_parameter(
    bijection: Bijection, x: Tensor, context: Tensor | None = None
) -> None:
    z, log_det = bijection.encode(x, context)
    (log_det - 0.5 * (z * z).sum(dim=1)).mean().backward()
    for name, parameter in bijection.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


def context_matters(bijection: Bijection, x: Tensor, context: Tensor) -> None:
    """Another context gives every row another latent."""
    z, _ = bijection.encode(x, context)
    elsewhere, _ = bijection.encode(x, context + 1.0)
    assert ((z - elsewhere).abs().max(dim=1).values > EXACT).all()


def _row(context: Tensor | None, i: int) -> Tensor | None:
    return None if context is None else context[i : i + 1]
