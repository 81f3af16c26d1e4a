"""The monotone rational-quadratic spline: the formulas, without parameters or a branch on values.

Tensors of scalars have the batch as their last axis, so that in onnxruntime what differs by
feature or by bin broadcasts over long runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Largest absolute logarithm (nats) of an unnormalised bin width, bin height or knot slope. It
# bounds the Lipschitz constants and so how much of the round trip survives float32; 3 gained
# nothing on the shuttle data (10.02 against 10.01 nats, standard error 0.02).
LOG_BOUND = 2.0


class Bin(NamedTuple):
    """The bin each scalar falls in, one shape for all; edges and sizes in units of an axis.

    The axes have units of their own, which the scales tell: so many of them are one unit of the
    scalar. Left edges are measured from the middle of the axis.
    """

    x_left: Tensor
    width: Tensor
    x_scale: Tensor
    y_left: Tensor
    height: Tensor
    y_scale: Tensor
    slope_left: Tensor
    slope_right: Tensor


# Finds the bin of scalars inside of the box, along one axis.
FindBin = Callable[[Tensor], Bin]


class _Curve:
    r"""The bin's curve at :math:`\theta`, its place in the bin (eqs. 4 and 5 of the reference)."""

    def __init__(self, found: Bin) -> None:
        self.found = found
        self.mean = (found.height * found.x_scale) / (found.width * found.y_scale)
        self.over = found.slope_left - self.mean
        self.change = found.slope_right - found.slope_left
        self.bend = self.change + self.over + self.over

    def rise_and_log_slope(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Of the bin's height, the part below the curve; and the logarithm of dy/dx."""
        curve = theta - theta * theta
        bent = self.bend * curve
        below = self.mean + bent
        ratio = self.mean / below
        linear = self.found.slope_left + theta * self.change - bent
        rise = (self.mean * theta + curve * self.over) / below
        return rise, torch.log(ratio * ratio * linear)

    def theta(self, phi: Tensor) -> Tensor:
        """Where the curve has risen by a part of the bin's height (eqs. 6 to 8)."""
        # In the form without cancellation. Rounding can push the discriminant below zero; it is
        # clamped so that a row never becomes NaN.
        bend = phi * self.bend
        a, b, c = bend - self.over, self.found.slope_left - bend, self.mean * phi
        root = torch.sqrt(torch.relu(b * b + 4.0 * (a * c)))
        return torch.clamp((c + c) / (b + root), 0.0, 1.0)


def encode_scalars(x: Tensor, bound: float, find: FindBin) -> tuple[Tensor, Tensor]:
    r"""Apply the spline inside ``[-bound, bound]`` and the identity outside.

    With :math:`\theta` the position in the bin, :math:`s` its mean slope and :math:`d_l, d_r` the
    slopes at its knots,

    .. math::
        y = y_l + h \frac{s\theta^2 + d_l\theta(1-\theta)}
                         {s + (d_l + d_r - 2s)\theta(1-\theta)}.

    Args:
        x: Any shape.
        bound: Half width of the box; a power of two, so that ``1 / bound`` is exact.
        find: Bins along the x axis.

    Returns:
        Values and log slopes, each of the shape of x.

    References:
        Durkan et al., Neural spline flows (2019). https://arxiv.org/abs/1906.04032
    """
    inside = torch.clamp(x, -bound, bound)
    found = find(inside)
    # Rounding can put theta outside [0, 1], where the log slope may not exist.
    theta = torch.clamp((inside * found.x_scale - found.x_left) / found.width, 0.0, 1.0)
    rise, log_slope = _Curve(found).rise_and_log_slope(theta)
    return (found.y_left + found.height * rise) / found.y_scale + (x - inside), log_slope


def decode_scalars(y: Tensor, bound: float, find: FindBin) -> tuple[Tensor, Tensor]:
    """Undo :func:`encode_scalars`, with bins along the y axis; log slopes are of the inverse."""
    inside = torch.clamp(y, -bound, bound)
    found = find(inside)
    phi = torch.clamp((inside * found.y_scale - found.y_left) / found.height, 0.0, 1.0)
    curve = _Curve(found)
    theta = curve.theta(phi)
    x = (found.x_left + found.width * theta) / found.x_scale
    return x + (y - inside), -curve.rise_and_log_slope(theta)[1]


def bounded_exp(logits: Tensor) -> Tensor:
    """Positive numbers within ``exp(±LOG_BOUND)``; one at zero."""
    return exp_tanh(logits * (1.0 / LOG_BOUND))


def exp_tanh(scaled: Tensor) -> Tensor:
    """The same of logits that are already divided by the bound."""
    return torch.exp(LOG_BOUND * torch.tanh(scaled))
