"""Coupling layers: part of the features, given the other part."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection
from training.bijections.spline import RationalQuadratic


class SplineCoupling(Bijection):
    r"""Map the last features by splines whose shapes the first features decide.

    With :math:`x = (a, b)`: :math:`z = (a, g_{\phi(a)}(b))` for elementwise rational-quadratic
    splines :math:`g`, and :math:`\log|\det J| = \sum_i \log g'_i(b_i)`. The split is fixed and
    contiguous; a linear layer before it chooses what stands where.

    Args:
        kept: Number of leading features that pass unchanged.
        changed: Number of trailing features that are mapped.
        conditioner: Maps ``(batch, kept)`` to three tables of logits, each ``changed`` times the
            spline's :meth:`~RationalQuadratic.parameters_per_scalar` wide.
        spline: The elementwise map.

    Raises:
        ValueError: If either part is empty.

    References:
        Durkan et al., Neural spline flows (2019), section 3. https://arxiv.org/abs/1906.04032
    """

    def __init__(
        self, kept: int, changed: int, conditioner: nn.Module, spline: RationalQuadratic
    ) -> None:
        super().__init__()
        if kept < 1 or changed < 1:
            raise ValueError(f"expected two non-empty parts, got {kept} and {changed} features")
        self.kept, self.changed = kept, changed
        self.conditioner, self.spline = conditioner, spline

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        kept, changed = x[:, : self.kept], x[:, self.kept :]
        value, log_slope = self.spline.encode(changed.reshape(-1), *self._logits(kept))
        return self._join(kept, value, log_slope)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        kept, changed = z[:, : self.kept], z[:, self.kept :]
        value, log_slope = self.spline.decode(changed.reshape(-1), *self._logits(kept))
        return self._join(kept, value, log_slope)

    def _logits(self, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = self.spline.parameters_per_scalar()
        widths, heights, slopes = (
            table.reshape(-1, size)
            for table, size in zip(self.conditioner(kept), sizes, strict=True)
        )
        return widths, heights, slopes

    def _join(self, kept: Tensor, value: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        changed = value.reshape(-1, self.changed)
        return torch.cat([kept, changed], dim=1), log_slope.reshape(-1, self.changed).sum(dim=1)
