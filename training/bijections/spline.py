r"""The monotone rational-quadratic spline on vectors of scalars: the formulas, without parameters.

Layout follows what runs fast in onnxruntime: bin search by comparison with edges, selection by
matrix products with one-hot tables instead of gathers, row scalars of rank 1, no branch on values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from training.bijections.maps import ElementwiseMap

# Largest absolute logarithm (nats) of an unnormalised bin width, bin height or knot slope. It
# bounds the Lipschitz constants and so how much of the round trip survives float32; 3 gained
# nothing on the shuttle data (10.02 against 10.01 nats, standard error 0.02).
LOG_BOUND = 2.0


class Bin(NamedTuple):
    """The bin each scalar falls in; edges and sizes unnormalised, all of shape ``(scalars,)``."""

    x_left: Tensor
    width: Tensor
    x_total: Tensor
    y_left: Tensor
    height: Tensor
    y_total: Tensor
    slope_left: Tensor
    slope_right: Tensor

    def slope(self) -> Tensor:
        """Mean slope of the bin once both axes are scaled to the same box."""
        return (self.height * self.x_total) / (self.width * self.y_total)


# Finds the bin of positions given in [0, 1] along one axis.
FindBin = Callable[[Tensor], Bin]


def encode_scalars(x: Tensor, bound: float, find: FindBin) -> tuple[Tensor, Tensor]:
    r"""Apply the spline inside ``[-bound, bound]`` and the identity outside.

    With :math:`\theta` the position in the bin, :math:`s` its mean slope and :math:`d_l, d_r` the
    slopes at its knots (eqs. 4 and 5 of the reference),

    .. math::
        y = y_l + h \frac{s\theta^2 + d_l\theta(1-\theta)}
                         {s + (d_l + d_r - 2s)\theta(1-\theta)}.

    Args:
        x: Shape ``(scalars,)``.
        bound: Half width of the box; a power of two, so that ``1 / bound`` is exact.
        find: Bins along the x axis.

    Returns:
        Values and log slopes, each of shape ``(scalars,)``.

    References:
        Durkan et al., Neural spline flows (2019). https://arxiv.org/abs/1906.04032
    """
    inside = torch.clamp(x, -bound, bound)
    unit = inside * (0.5 / bound) + 0.5
    found = find(unit)
    # Rounding can put theta outside [0, 1], where the log slope may not exist.
    theta = torch.clamp((unit * found.x_total - found.x_left) / found.width, 0.0, 1.0)
    mean, curve = found.slope(), theta - theta * theta
    bend = found.slope_left + found.slope_right - 2.0 * mean
    rise = (mean * theta + curve * (found.slope_left - mean)) / (mean + bend * curve)
    y = (found.y_left + found.height * rise) / found.y_total
    return y * (2.0 * bound) + (x - inside - bound), _log_slope(found, theta)


def decode_scalars(y: Tensor, bound: float, find: FindBin) -> tuple[Tensor, Tensor]:
    """Undo :func:`encode_scalars`, with bins along the y axis; log slopes are of the inverse."""
    inside = torch.clamp(y, -bound, bound)
    unit = inside * (0.5 / bound) + 0.5
    found = find(unit)
    phi = torch.clamp((unit * found.y_total - found.y_left) / found.height, 0.0, 1.0)
    mean = found.slope()
    # Root of a*theta^2 + b*theta - c in the form without cancellation (eqs. 6 to 8). Rounding can
    # push the discriminant below zero; it is clamped so that a row never becomes NaN.
    bend = phi * (found.slope_left + found.slope_right - 2.0 * mean)
    a, b, c = mean - found.slope_left + bend, found.slope_left - bend, mean * phi
    root = torch.sqrt(torch.relu(b * b + 4.0 * (a * c)))
    theta = torch.clamp((c + c) / (b + root), 0.0, 1.0)
    x = (found.x_left + found.width * theta) / found.x_total
    return x * (2.0 * bound) + (y - inside - bound), -_log_slope(found, theta)


def bounded_exp(logits: Tensor) -> Tensor:
    """Positive numbers within ``exp(±LOG_BOUND)``; one at zero."""
    return torch.exp(LOG_BOUND * torch.tanh(logits * (1.0 / LOG_BOUND)))


def _log_slope(found: Bin, theta: Tensor) -> Tensor:
    """Logarithm of dy/dx at ``theta`` (eq. 5)."""
    mean, curve = found.slope(), theta - theta * theta
    bend = curve * (found.slope_left + found.slope_right - 2.0 * mean)
    ratio = mean / (mean + bend)
    linear = found.slope_left + theta * (found.slope_right - found.slope_left) - bend
    return torch.log(ratio * ratio * linear)


class RationalQuadratic(ElementwiseMap):
    """Splines whose shape is given for each scalar; the module holds only constant tables.

    Logits have shape ``(scalars, bins)`` for widths and heights, ``(scalars, bins - 1)`` for the
    slopes at inner knots; all zero is the identity.

    Args:
        bins: Number of bins.
        bound: Half width of the box.

    Raises:
        ValueError: If there are fewer than two bins.
    """

    cumulate: Tensor
    probe: Tensor
    to_bin: Tensor
    first_bin: Tensor
    to_left_knot: Tensor
    to_right_knot: Tensor
    first_knot: Tensor

    def __init__(self, bins: int, bound: float) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"expected at least 2 bins, got {bins}")
        self.bins, self.bound = bins, bound
        cumulate, probe = torch.ones(bins, bins).triu(), torch.ones(1, bins)
        cumulate[:, -1], probe[:, -1] = 0.0, -1.0
        step = torch.eye(bins).roll(1, dims=1).triu() - torch.eye(bins)
        self.register_buffer("cumulate", cumulate)
        self.register_buffer("probe", probe)
        self.register_buffer("to_bin", step)
        self.register_buffer("first_bin", torch.eye(bins)[0])
        self.register_buffer("to_left_knot", -step.T[:, :-1].contiguous())
        self.register_buffer("to_right_knot", step[:, :-1].contiguous())
        self.register_buffer("first_knot", torch.eye(bins - 1)[0])

    def parameters_per_scalar(self) -> tuple[int, ...]:
        """Sizes of the width, height and slope logits of one scalar."""
        return self.bins, self.bins, self.bins - 1

    def encode(self, x: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`encode_scalars`."""
        widths, heights, slopes = bounded_exp(tables[0]), bounded_exp(tables[1]), tables[2]
        return encode_scalars(
            x, self.bound, lambda unit: self._find(unit, widths, widths, heights, slopes)
        )

    def decode(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`decode_scalars`."""
        widths, heights, slopes = bounded_exp(tables[0]), bounded_exp(tables[1]), tables[2]
        return decode_scalars(
            y, self.bound, lambda unit: self._find(unit, heights, widths, heights, slopes)
        )

    def _find(
        self, unit: Tensor, axis: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor
    ) -> Bin:
        """Bins along ``axis``: the widths to encode, the heights to decode."""
        x_total, y_total = widths.sum(-1), heights.sum(-1)
        position = unit * (x_total if axis is widths else y_total)
        # Negative where bin k's right edge lies before the position; never in the last column.
        # A matrix product, because broadcasting a column costs onnxruntime five times as much.
        ahead = torch.addmm(axis @ self.cumulate, position.reshape(-1, 1), self.probe, alpha=-1.0)
        passed = (ahead < 0).to(axis.dtype)
        here = torch.addmm(self.first_bin, passed, self.to_bin)
        left = passed @ self.to_left_knot
        right = torch.addmm(self.first_knot, passed, self.to_right_knot)
        return Bin(
            x_left=(passed * widths).sum(-1),
            width=(here * widths).sum(-1),
            x_total=x_total,
            y_left=(passed * heights).sum(-1),
            height=(here * heights).sum(-1),
            y_total=y_total,
            slope_left=bounded_exp((left * slopes).sum(-1)),
            slope_right=bounded_exp((right * slopes).sum(-1)),
        )
