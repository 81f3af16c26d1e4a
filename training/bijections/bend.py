r"""The scalar equation :math:`a + c \tanh a = y` behind planar and Sylvester layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# The product c stays above this, so that one layer never squeezes by more than ten. Nearer to -1
# the layer is almost singular and more Newton steps would be needed.
MIN_PRODUCT = -0.9
# Enough for 1e-10 at any product up to 200, from the start used here.
NEWTON_STEPS = 7
# Largest last step to a root that counts as found: at most 1.5 times its square is left after it.
# Rounding in float32 alone makes steps as large at products of 800.
CONVERGED = 1e-4


def constrained(free: Tensor) -> Tensor:
    """The product c above :data:`MIN_PRODUCT` made from a free number; zero at zero."""
    at_zero = math.log(math.expm1(-MIN_PRODUCT))
    return nn.functional.softplus(free + at_zero) + MIN_PRODUCT


def slope(bent: Tensor, product: Tensor) -> Tensor:
    r"""Derivative :math:`1 + c (1 - \tanh^2 a)` of the equation's left side.

    Args:
        bent: The values :math:`\tanh a`.
        product: The numbers c, of the same shape or one for all.
    """
    return (1.0 + product) - (product * bent) * bent


def bent_root(y: Tensor, product: Tensor) -> Tensor:
    r""":math:`\tanh a` of the root a; NaN where the steps did not converge.

    Newton steps for the displacement :math:`d = c \tanh a`, the root of
    :math:`d = c \tanh(y - d)`. They start where the tangent at zero and the limit
    :math:`\pm c` meet, on the side of the root from which every step is monotone.

    Args:
        y: Right sides.
        product: The numbers c, above -1, of the same shape or one for all.
    """
    size = product.abs()
    moved = torch.clamp(y * (product / (1.0 + product)), -size, size)
    step = moved
    for _ in range(NEWTON_STEPS):
        bent = torch.tanh(y - moved)
        pushed = product * bent
        step = (moved - pushed) / ((1.0 + product) - pushed * bent)
        moved = moved - step
    return torch.where(step.abs() <= CONVERGED, torch.tanh(y - moved), math.nan)
