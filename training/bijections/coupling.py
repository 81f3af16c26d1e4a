"""Coupling layers: part of the features, given the other part."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bijections.base import Bijection, with_context
from training.bijections.maps import ElementwiseMap


class Coupling(Bijection):
    r"""Map the last features by monotone functions whose parameters the first features decide.

    With :math:`x = (a, b)`: :math:`z = (a, g_{\phi(a)}(b))` for an elementwise map :math:`g`, and
    :math:`\log|\det J| = \sum_i \log g'_i(b_i)`. The split is fixed and contiguous; a linear layer
    before it chooses what stands where.

    Args:
        kept: Number of leading features that pass unchanged; may be none where there is a context.
        changed: Number of trailing features that are mapped.
        conditioner: Maps ``(batch, kept + context_features)`` to the map's tables, each
            ``changed`` times :meth:`~ElementwiseMap.parameters_per_scalar` wide.
        elementwise: The map.

    Raises:
        ValueError: If nothing is changed.

    References:
        Dinh et al., NICE (2014), section 3. https://arxiv.org/abs/1410.8516
    """

    def __init__(
        self, kept: int, changed: int, conditioner: nn.Module, elementwise: ElementwiseMap
    ) -> None:
        super().__init__()
        if kept < 0 or changed < 1:
            raise ValueError(f"expected features to change, got {changed} beside {kept} kept")
        self.kept, self.changed = kept, changed
        self.conditioner, self.elementwise = conditioner, elementwise

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        kept, changed = x[:, : self.kept], x[:, self.kept :]
        value, log_slope = self.elementwise.encode(changed, *self._tables(kept, context))
        return torch.cat([kept, value], dim=1), log_slope.sum(dim=1)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        kept, changed = z[:, : self.kept], z[:, self.kept :]
        value, log_slope = self.elementwise.decode(changed, *self._tables(kept, context))
        return torch.cat([kept, value], dim=1), log_slope.sum(dim=1)

    def _tables(self, kept: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
        return self.elementwise.ask(self.conditioner, with_context(kept, context))
