r"""The monotone rational-quadratic spline on matrices of scalars: the formulas, and a map by them.

Layout follows what runs fast in onnxruntime: the batch is the last axis, so that what differs by
feature or by bin broadcasts over long runs; the bin is searched by comparison with all edges and
read by one GatherElements a quantity, whose inner loop is that run. No branch on values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.bijections.maps import ElementwiseMap
from training.networks import columns

# Largest absolute logarithm (nats) of an unnormalised bin width, bin height or knot slope. It
# bounds the Lipschitz constants and so how much of the round trip survives float32; 3 gained
# nothing on the shuttle data (10.02 against 10.01 nats, standard error 0.02).
LOG_BOUND = 2.0


class Bin(NamedTuple):
    """The bin each scalar falls in, one shape for all; edges and sizes unnormalised.

    Left edges are measured from the middle of their axis.
    """

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


# Finds the bin of positions given in [-1/2, 1/2] along one axis.
FindBin = Callable[[Tensor], Bin]


def encode_scalars(x: Tensor, bound: float, find: FindBin) -> tuple[Tensor, Tensor]:
    r"""Apply the spline inside ``[-bound, bound]`` and the identity outside.

    With :math:`\theta` the position in the bin, :math:`s` its mean slope and :math:`d_l, d_r` the
    slopes at its knots (eqs. 4 and 5 of the reference),

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
    unit = inside * (0.5 / bound)
    found = find(unit)
    # Rounding can put theta outside [0, 1], where the log slope may not exist.
    theta = torch.clamp((unit * found.x_total - found.x_left) / found.width, 0.0, 1.0)
    mean, curve = found.slope(), theta - theta * theta
    bend = found.slope_left + found.slope_right - 2.0 * mean
    rise = (mean * theta + curve * (found.slope_left - mean)) / (mean + bend * curve)
    y = (found.y_left + found.height * rise) / found.y_total
    return y * (2.0 * bound) + (x - inside), _log_slope(found, theta)


def decode_scalars(y: Tensor, bound: float, find: FindBin) -> tuple[Tensor, Tensor]:
    """Undo :func:`encode_scalars`, with bins along the y axis; log slopes are of the inverse."""
    inside = torch.clamp(y, -bound, bound)
    unit = inside * (0.5 / bound)
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
    return x * (2.0 * bound) + (y - inside), -_log_slope(found, theta)


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

    Logits have the batch last, as :meth:`ask` gives them: ``(features * bins, batch)`` for widths
    and heights, ``(features * (bins - 1), batch)`` for the slopes at inner knots; all zero is the
    identity.

    Args:
        bins: Number of bins.
        bound: Half width of the box.

    Raises:
        ValueError: If there are fewer than two bins.
    """

    to_left: Tensor
    behind_first: Tensor

    def __init__(self, bins: int, bound: float) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"expected at least 2 bins, got {bins}")
        self.bins, self.bound = bins, bound
        self.register_buffer("to_left", torch.ones(bins, bins).tril(-1) - 0.5)
        self.register_buffer("behind_first", torch.ones(1, bins).triu(1))

    def parameters_per_scalar(self) -> tuple[int, ...]:
        """Sizes of the width, height and slope logits of one scalar."""
        return self.bins, self.bins, self.bins - 1

    def ask(self, network: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`ElementwiseMap.ask`."""
        return columns(network, rows)

    def turned(self, tables: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See :meth:`ElementwiseMap.turned`."""
        return tuple(table.T for table in tables)

    def encode(self, x: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`encode_scalars`."""
        widths, heights, slopes = self._shapes(tables)
        value, log_slope = encode_scalars(
            x.T.unsqueeze(1),
            self.bound,
            lambda unit: self._find(unit, widths, (widths, heights, slopes)),
        )
        return value.squeeze(1).T, log_slope.squeeze(1).T

    def decode(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`decode_scalars`."""
        widths, heights, slopes = self._shapes(tables)
        value, log_slope = decode_scalars(
            y.T.unsqueeze(1),
            self.bound,
            lambda unit: self._find(unit, heights, (widths, heights, slopes)),
        )
        return value.squeeze(1).T, log_slope.squeeze(1).T

    def _shapes(self, tables: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Widths and heights of bins and logits of slopes, ``(features, bins, batch)``."""
        widths, heights, slopes = (
            torch.unflatten(table, 0, (-1, size))
            for table, size in zip(tables, self.parameters_per_scalar(), strict=True)
        )
        return bounded_exp(widths), bounded_exp(heights), slopes

    def _find(self, unit: Tensor, axis: Tensor, shapes: tuple[Tensor, Tensor, Tensor]) -> Bin:
        """Bins of ``(features, 1, batch)`` along ``axis``: widths to encode, heights to decode."""
        widths, heights, slopes = shapes
        lefts, totals = zip(
            *((self.to_left @ sizes, sizes.sum(1, keepdim=True)) for sizes in (widths, heights)),
            strict=True,
        )
        here = 0 if axis is widths else 1
        passed = (lefts[here] <= unit * totals[here]).to(unit.dtype)
        # As a product, which takes no copy without the first bin; so a NaN is in that one.
        place = self.behind_first @ passed
        index = place.long()
        return Bin(
            x_left=torch.gather(lefts[0], 1, index),
            width=torch.gather(widths, 1, index),
            x_total=totals[0],
            y_left=torch.gather(lefts[1], 1, index),
            height=torch.gather(heights, 1, index),
            y_total=totals[1],
            slope_left=_inner_slope(slopes, place - 1.0, place),
            slope_right=_inner_slope(slopes, place, self.bins - 1.0 - place),
        )


def _inner_slope(logits: Tensor, place: Tensor, inside: Tensor) -> Tensor:
    """Slopes at inner knots; where ``inside`` is zero, at the end of the box, one."""
    index = torch.clamp(place, 0.0, logits.shape[1] - 1.0).long()
    return bounded_exp(torch.gather(logits, 1, index) * torch.clamp(inside, max=1.0))
