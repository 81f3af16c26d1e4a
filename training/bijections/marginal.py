"""A spline for each feature's marginal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection
from training.bijections.spline import Bin, bounded_exp, decode_scalars, encode_scalars


class ElementwiseSpline(Bijection):
    """A learned rational-quadratic spline for each feature, free of the other features.

    One table of knots serves all rows, so no table per row is ever formed: a scalar's bin is the
    number of its feature's edges that it has passed, and its place in that table.

    Args:
        features: Size of a row.
        bins: Bins of each spline.
        bound: Half width of the box.

    References:
        Durkan et al., Neural spline flows (2019). https://arxiv.org/abs/1906.04032
    """

    def __init__(self, features: int, bins: int, bound: float) -> None:
        super().__init__()
        self.features, self.bins, self.bound = features, bins, bound
        self.widths = nn.Parameter(torch.zeros(features, bins))
        self.heights = nn.Parameter(torch.zeros(features, bins))
        self.slopes = nn.Parameter(torch.zeros(features, bins - 1))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        z, terms = self.encode_terms(x)
        return z, terms.sum(dim=1)

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return True

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        xs, ys, slopes = self._knots()
        value, log_slope = encode_scalars(
            x.T, self.bound, lambda inside: self._find(inside, xs, (xs, ys, slopes))
        )
        return value.T, log_slope.T

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        xs, ys, slopes = self._knots()
        value, log_slope = decode_scalars(
            z.T, self.bound, lambda inside: self._find(inside, ys, (xs, ys, slopes))
        )
        return value.T, log_slope.sum(dim=0)

    def _knots(self) -> tuple[Tensor, Tensor, Tensor]:
        """Knots on both axes and slopes there, each ``(features, bins + 1)``."""
        ends = self.slopes.new_ones(self.features, 1)

        def positions(logits: Tensor) -> Tensor:
            sizes = bounded_exp(logits)
            inner = sizes.cumsum(dim=1)[:, :-1] / sizes.sum(dim=1, keepdim=True)
            return 2.0 * self.bound * (torch.cat([0.0 * ends, inner, ends], dim=1) - 0.5)

        slopes = torch.cat([ends, bounded_exp(self.slopes), ends], dim=1)
        return positions(self.widths), positions(self.heights), slopes

    def _find(self, inside: Tensor, axis: Tensor, knots: tuple[Tensor, Tensor, Tensor]) -> Bin:
        """Bins of ``(features, batch)`` along ``axis``, one of the two tables of positions."""
        passed = (axis[:, 1:-1, None] <= inside[:, None]).to(axis.dtype)
        first = torch.arange(self.features, dtype=axis.dtype, device=axis.device) * self.bins
        index = (passed.sum(dim=1) + first[:, None]).long().reshape(-1)

        def select(table: Tensor) -> Tensor:
            """Entries ``(features, bins)`` at each scalar's bin."""
            return torch.gather(table.reshape(-1), 0, index).reshape_as(inside)

        xs, ys, slopes = knots
        one = axis.new_ones(())
        return Bin(
            x_left=select(xs[:, :-1]),
            width=select(xs[:, 1:] - xs[:, :-1]),
            x_scale=one,
            y_left=select(ys[:, :-1]),
            height=select(ys[:, 1:] - ys[:, :-1]),
            y_scale=one,
            slope_left=select(slopes[:, :-1]),
            slope_right=select(slopes[:, 1:]),
        )
