"""A spline for each feature's marginal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection
from training.bijections.spline import Bin, bounded_exp, decode_scalars, encode_scalars


class ElementwiseSpline(Bijection):
    """A learned rational-quadratic spline for each feature, free of the other features.

    One table of knots serves all rows, so a whole batch is looked up by products of the step
    functions ``edge < position`` with constant matrices: no table per row is ever formed.

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
            x.reshape(-1), self.bound, lambda unit: self._find(unit, xs, (xs, ys, slopes))
        )
        return self._rows(value), self._rows(log_slope)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        xs, ys, slopes = self._knots()
        value, log_slope = decode_scalars(
            z.reshape(-1), self.bound, lambda unit: self._find(unit, ys, (xs, ys, slopes))
        )
        return self._rows(value), self._rows(log_slope).sum(dim=1)

    def _rows(self, scalars: Tensor) -> Tensor:
        return scalars.reshape(-1, self.features)

    def _knots(self) -> tuple[Tensor, Tensor, Tensor]:
        """Positions on both axes in [0, 1] and slopes, each ``(features, bins + 1)``."""
        ends = self.slopes.new_ones(self.features, 1)

        def positions(logits: Tensor) -> Tensor:
            sizes = bounded_exp(logits)
            inner = sizes.cumsum(dim=1)[:, :-1] / sizes.sum(dim=1, keepdim=True)
            return torch.cat([torch.zeros_like(ends), inner, ends], dim=1)

        slopes = torch.cat([ends, bounded_exp(self.slopes), ends], dim=1)
        return positions(self.widths), positions(self.heights), slopes

    def _find(self, unit: Tensor, axis: Tensor, knots: tuple[Tensor, Tensor, Tensor]) -> Bin:
        """Bins along ``axis``, one of the two tables of positions."""
        eye = torch.eye(self.features, dtype=axis.dtype, device=axis.device)
        spread = eye.repeat_interleave(self.bins - 1, dim=1)
        inner = axis[:, 1:-1].reshape(-1)
        passed = (torch.addmm(inner, self._rows(unit), spread, alpha=-1.0) < 0).to(axis.dtype)

        def select(table: Tensor) -> Tensor:
            """Entries ``(features, bins)`` at each scalar's bin, as a first entry plus steps."""
            steps = (table[:, 1:] - table[:, :-1]).reshape(-1, 1) * spread.T
            return torch.addmm(table[:, 0], passed, steps).reshape(-1)

        xs, ys, slopes = knots
        one = torch.ones_like(unit)
        return Bin(
            x_left=select(xs[:, :-1]),
            width=select(xs[:, 1:] - xs[:, :-1]),
            x_total=one,
            y_left=select(ys[:, :-1]),
            height=select(ys[:, 1:] - ys[:, :-1]),
            y_total=one,
            slope_left=select(slopes[:, :-1]),
            slope_right=select(slopes[:, 1:]),
        )
