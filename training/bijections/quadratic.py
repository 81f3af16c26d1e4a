"""Rational-quadratic splines as the map of coupling and autoregressive layers.

What is as large as the tables is touched as seldom as possible: onnxruntime's time for such an
operator is that of reading and writing its tensors. Edges are sums by a product with a constant
matrix, the bin is searched by one comparison with all of them, and read by a gather along the
bins, whose inner loop is the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bijections.maps import ElementwiseMap
from training.bijections.spline import (
    LOG_BOUND,
    Bin,
    decode_scalars,
    encode_scalars,
    exp_tanh,
)
from training.networks import MultiHead, columns


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
    to_left_knot: Tensor
    to_right_knot: Tensor

    def __init__(self, bins: int, bound: float) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"expected at least 2 bins, got {bins}")
        self.bins, self.bound, self.absorbed = bins, bound, False
        # From the bins' sizes to their left edges, and as a last row to the scale.
        lefts, scale = torch.ones(bins, bins).tril(-1) - 0.5, torch.full((1, bins), 0.5 / bound)
        self.register_buffer("to_axis", torch.cat([lefts, scale]), persistent=False)
        # From the left edges passed to the bin's left and right knot; both ends are knot 0.
        left, right = torch.ones(1, bins + 1), torch.ones(1, bins + 1)
        left[0, 0], right[0, -2] = 0.0, 1.0 - bins
        left[0, -1] = right[0, -1] = 0.0
        self.register_buffer("to_left_knot", left, persistent=False)
        self.register_buffer("to_right_knot", right, persistent=False)

    def parameters_per_scalar(self) -> tuple[int, ...]:
        """Sizes of the width, height and slope logits of one scalar."""
        return self.bins, self.bins, self.bins - 1

    def ask(self, network: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`ElementwiseMap.ask`."""
        return columns(network, rows)

    def absorb(self, network: nn.Module) -> None:
        """See :meth:`ElementwiseMap.absorb`: here the logits' scale, and the slope at knot 0."""
        if self.absorbed or not isinstance(network, MultiHead):
            return
        sizes = self.parameters_per_scalar()
        network.replace_heads(
            [
                [
                    _padded(_by_scalar(value, size), self.bins).flatten(0, 1)
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

    def decode_one(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ElementwiseMap.decode_one`."""
        value, log_slope = self.decode(y[:, None], *(table.T for table in tables))
        return value.squeeze(1), log_slope.squeeze(1)

    def _shapes(self, tables: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Widths and heights of bins and scaled logits of slopes, ``(features, bins, batch)``."""
        if self.absorbed:
            logits = [_by_scalar(table, self.bins) for table in tables]
        else:
            logits = [
                _padded(_by_scalar(table * (1.0 / LOG_BOUND), size), self.bins)
                for table, size in zip(tables, self.parameters_per_scalar(), strict=True)
            ]
        return exp_tanh(logits[0]), exp_tanh(logits[1]), logits[2]

    def _find(self, inside: Tensor, along: int, shapes: tuple[Tensor, Tensor, Tensor]) -> Bin:
        """Bins of ``(features, 1, batch)`` along an axis: 0, that of x, or 1."""
        widths, heights, slopes = shapes
        axes = self.to_axis @ widths, self.to_axis @ heights
        x_scale, y_scale = (axis[:, self.bins :] for axis in axes)
        passed = (axes[along] <= inside * (x_scale, y_scale)[along]).to(inside.dtype)
        place = (self.to_left_knot @ passed).long()
        next_knot = (self.to_right_knot @ passed).long()
        return Bin(
            x_left=torch.gather(axes[0], 1, place),
            width=torch.gather(widths, 1, place),
            x_scale=x_scale,
            y_left=torch.gather(axes[1], 1, place),
            height=torch.gather(heights, 1, place),
            y_scale=y_scale,
            slope_left=exp_tanh(torch.gather(slopes, 1, place)),
            slope_right=exp_tanh(torch.gather(slopes, 1, next_knot)),
        )


def _by_scalar(table: Tensor, size: int) -> Tensor:
    return torch.unflatten(table, 0, (-1, size))


def _padded(tables: Tensor, size: int) -> Tensor:
    """Tables ``(features, up to size, ...)`` with zeros before what they hold."""
    missing = size - tables.shape[1]
    return torch.cat([torch.zeros_like(tables[:, :missing]), tables], 1) if missing else tables
