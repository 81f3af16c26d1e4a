"""Autoregressive layers: every feature, given those before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop

from training.bijections.base import Bijection, with_context
from training.bijections.maps import ElementwiseMap


class Autoregressive(Bijection):
    r"""Map feature i by a monotone function whose parameters the features before it decide.

    :math:`z_i = g_{\phi_i(x_{<i})}(x_i)`; the Jacobian is lower triangular, so
    :math:`\log|\det J| = \sum_i \log g'_i(x_i)`. Encoding takes one pass of the conditioner.
    Decoding takes one pass a feature: each pass makes one more feature final, whatever the others
    were. In an exported graph the passes are one Loop node.

    Args:
        features: Size of a row.
        conditioner: Maps ``(batch, features + context_features)`` to the map's tables, each
            ``features`` times :meth:`~ElementwiseMap.parameters_per_scalar` wide; the entries of
            feature i must not depend on features from i on.
        elementwise: The map.

    References:
        Papamakarios et al., Masked autoregressive flow for density estimation (2017), section 3.
        https://arxiv.org/abs/1705.07057
    """

    def __init__(self, features: int, conditioner: nn.Module, elementwise: ElementwiseMap) -> None:
        super().__init__()
        self.features = features
        self.conditioner, self.elementwise = conditioner, elementwise

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        value, log_slope = self.elementwise.encode(x.reshape(-1), *self._tables(x, context))
        return self._rows(value), self._rows(log_slope).sum(dim=1)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        if torch.compiler.is_exporting():
            return self._decode_in_a_loop(z, context)
        x, log_det = torch.zeros_like(z), z.new_zeros(z.shape[0])
        for _ in range(self.features):
            x, log_det = self._pass(x, z, context)
        return x, log_det

    def passes(self) -> tuple[int, int]:
        """See :meth:`Bijection.passes`."""
        return 1, self.features

    def _decode_in_a_loop(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        def more(done: Tensor, x: Tensor, log_det: Tensor, z: Tensor) -> Tensor:
            return done < self.features

        def once(
            done: Tensor, x: Tensor, log_det: Tensor, z: Tensor
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            return done + 1, *self._pass(x, z, context), z.clone()

        start = (
            torch.zeros((), dtype=torch.int64),
            torch.zeros_like(z),
            z.new_zeros(z.shape[0]),
            z,
        )
        looped: tuple[Tensor, ...] = while_loop(more, once, start)  # type: ignore[no-untyped-call]
        return looped[1], looped[2]

    def _pass(self, x: Tensor, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """One pass: rows of which one more feature is final, and the log-det they imply."""
        value, log_slope = self.elementwise.decode(z.reshape(-1), *self._tables(x, context))
        return self._rows(value), self._rows(log_slope).sum(dim=1)

    def _tables(self, x: Tensor, context: Tensor | None) -> list[Tensor]:
        sizes = self.elementwise.parameters_per_scalar()
        tables = self.conditioner(with_context(x, context))
        return [table.reshape(-1, size) for table, size in zip(tables, sizes, strict=True)]

    def _rows(self, scalars: Tensor) -> Tensor:
        return scalars.reshape(-1, self.features)


class Inverse(Bijection):
    """A bijection with its directions exchanged: of a MAF layer, an IAF layer.

    Args:
        bijection: Whose ``decode`` encodes.

    References:
        Kingma et al., Improving variational inference with inverse autoregressive flow (2016).
        https://arxiv.org/abs/1606.04934
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        return self.bijection.decode(x, context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        return self.bijection.encode(z, context)

    def passes(self) -> tuple[int, int]:
        """See :meth:`Bijection.passes`."""
        encode, decode = self.bijection.passes()
        return decode, encode
