"""Monotone maps of one scalar whose parameters come from elsewhere: what coupling layers apply."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Largest absolute log scale (nats) of one affine layer. It bounds how much of the inverse a chain
# loses in float32: at 7 a strained chain of eight layers loses everything, at 2 almost nothing.
LOG_SCALE_BOUND = 2.0


class ElementwiseMap(nn.Module):
    """A monotone map of scalars given tables of parameters for them; zeros are the identity."""

    def parameters_per_scalar(self) -> tuple[int, ...]:
        """Width of each parameter table."""
        raise NotImplementedError

    def ask(self, network: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
        """What a network says of rows, in the layout of this map's tables.

        Unless the map says otherwise, ``(batch, features * width)``, which is the network's.
        """
        tables: tuple[Tensor, ...] = network(rows)
        return tables

    def absorb(self, network: nn.Module) -> None:
        """Before an export: let the network's heads do what this map does first to every table."""

    def encode(self, x: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(batch, features)``, given tables. Returns values and log slopes."""
        raise NotImplementedError

    def decode(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """Undo :meth:`encode`; log slopes are of the inverse."""
        raise NotImplementedError

    def decode_one(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """Undo :meth:`encode` of one feature ``(batch,)``, given tables ``(batch, width)``."""
        # Rank 1, because onnxruntime is slow where a column meets a scalar.
        return self.decode(y, *(table.reshape(-1) for table in tables))


class Shift(ElementwiseMap):
    """Addition.

    References:
        Dinh et al., NICE (2014), eq. 9. https://arxiv.org/abs/1410.8516
    """

    def parameters_per_scalar(self) -> tuple[int, ...]:
        """See :meth:`ElementwiseMap.parameters_per_scalar`."""
        return (1,)

    def encode(self, x: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ElementwiseMap.encode`."""
        return x + tables[0], torch.zeros_like(x)

    def decode(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ElementwiseMap.decode`."""
        return y - tables[0], torch.zeros_like(y)


class Affine(ElementwiseMap):
    r"""Scale and shift, :math:`z = x e^{s} + t` with :math:`|s|` at most :data:`LOG_SCALE_BOUND`.

    References:
        Dinh et al., Density estimation using Real NVP (2017). https://arxiv.org/abs/1605.08803
    """

    def parameters_per_scalar(self) -> tuple[int, ...]:
        """See :meth:`ElementwiseMap.parameters_per_scalar`."""
        return (1, 1)

    def encode(self, x: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ElementwiseMap.encode`."""
        log_scale, shift = self._scale_and_shift(tables)
        return x * log_scale.exp() + shift, log_scale

    def decode(self, y: Tensor, *tables: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ElementwiseMap.decode`."""
        log_scale, shift = self._scale_and_shift(tables)
        return (y - shift) * log_scale.neg().exp(), -log_scale

    def _scale_and_shift(self, tables: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        raw, shift = tables
        log_scale = LOG_SCALE_BOUND * torch.tanh(raw * (1.0 / LOG_SCALE_BOUND))
        return log_scale, shift
