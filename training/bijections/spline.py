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
from training.networks import MultiHead, columns

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
    return _exp_tanh(logits * (1.0 / LOG_BOUND))


def _exp_tanh(scaled: Tensor) -> Tensor:
    return torch.exp(LOG_BOUND * torch.tanh(scaled))


class RationalQuadratic(ElementwiseMap):
    """Splines whose shape is given for each scalar; the module holds only constant tables.

    Tables have the batch last, as :meth:`ask` gives them: ``(features * bins, batch)`` for widths
    and heights, ``(features * (bins - 1), batch)`` for the slopes at inner knots; all zero is the
    identity.

    Args:
        bins: Number of bins.
        bound: Half width of the box.

    Raises:
        ValueError: If there are fewer than two bins.
    """

    to_axis: Tensor
    to_knots: Tensor

    def __init__(self, bins: int, bound: float) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"expected at least 2 bins, got {bins}")
        self.bins, self.bound, self.absorbed = bins, bound, False
        # From the bins' sizes to their left edges, and as a last row to the scale.
        lefts, scale = torch.ones(bins, bins).tril(-1) - 0.5, torch.full((1, bins), 0.5 / bound)
        self.register_buffer("to_axis", torch.cat([lefts, scale]))
        # From the left edges passed to the bin's left and right knot; both ends are knot 0.
        left, right = torch.ones(bins + 1), torch.ones(bins + 1)
        left[0], right[-2] = 0.0, 1.0 - bins
        left[-1] = right[-1] = 0.0
        self.register_buffer("to_knots", torch.stack([left, right]))

    def parameters_per_scalar(self) -> tuple[int, ...]:
        """Sizes of the width, height and slope logits of one scalar."""
        return self.bins, self.bins, self.bins - 1

    def ask(self, network: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`ElementwiseMap.ask`."""
        return columns(network, rows)

    def turned(self, tables: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See :meth:`ElementwiseMap.turned`."""
        return tuple(table.T for table in tables)

    def absorb(self, network: nn.Module) -> None:
        """See :meth:`ElementwiseMap.absorb`: here the logits' scale, and the slope at knot 0."""
        if self.absorbed or not isinstance(network, MultiHead):
            return
        sizes = self.parameters_per_scalar()
        network.replace_heads(
            [
                [
                    _padded(value.unflatten(0, (-1, size)), self.bins).flatten(0, 1)
                    for value in (head.weight * (1.0 / LOG_BOUND), head.bias * (1.0 / LOG_BOUND))
                ]
                for head, size in zip(network.linear_heads(), sizes, strict=True)
            ]
        )
        self.absorbed = True

    def encode(self, x: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`encode_scalars`."""
        widths, heights, slopes = self._shapes(tables)
        value, log_slope = encode_scalars(
            x.T.unsqueeze(1),
            self.bound,
            lambda inside: self._find(inside, 0, (widths, heights, slopes)),
        )
        return value.squeeze(1).T, log_slope.squeeze(1).T

    def decode(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`decode_scalars`."""
        widths, heights, slopes = self._shapes(tables)
        value, log_slope = decode_scalars(
            y.T.unsqueeze(1),
            self.bound,
            lambda inside: self._find(inside, 1, (widths, heights, slopes)),
        )
        return value.squeeze(1).T, log_slope.squeeze(1).T

    def _shapes(self, tables: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Widths and heights of bins and scaled logits of slopes, ``(features, bins, batch)``."""
        if self.absorbed:
            logits = [torch.unflatten(table, 0, (-1, self.bins)) for table in tables]
        else:
            logits = [
                _padded(torch.unflatten(table * (1.0 / LOG_BOUND), 0, (-1, size)), self.bins)
                for table, size in zip(tables, self.parameters_per_scalar(), strict=True)
            ]
        return _exp_tanh(logits[0]), _exp_tanh(logits[1]), logits[2]

    def _find(self, inside: Tensor, along: int, shapes: tuple[Tensor, Tensor, Tensor]) -> Bin:
        """Bins of ``(features, 1, batch)`` along an axis: 0, that of x, or 1."""
        widths, heights, slopes = shapes
        axes = self.to_axis @ widths, self.to_axis @ heights
        x_scale, y_scale = (axis[:, self.bins :] for axis in axes)
        passed = axes[along] <= inside * (x_scale, y_scale)[along]
        knots = (self.to_knots @ passed.to(inside.dtype)).long()
        place = knots[:, :1]
        at_knots = _exp_tanh(torch.gather(slopes, 1, knots))
        return Bin(
            x_left=torch.gather(axes[0], 1, place),
            width=torch.gather(widths, 1, place),
            x_scale=x_scale,
            y_left=torch.gather(axes[1], 1, place),
            height=torch.gather(heights, 1, place),
            y_scale=y_scale,
            slope_left=at_knots[:, :1],
            slope_right=at_knots[:, 1:],
        )


def _padded(tables: Tensor, size: int) -> Tensor:
    """Tables ``(features, up to size, ...)`` with zeros before what they hold."""
    missing = size - tables.shape[1]
    return torch.cat([torch.zeros_like(tables[:, :missing]), tables], 1) if missing else tables
