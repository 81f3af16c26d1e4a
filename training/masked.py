"""Masked networks: what they say of a feature depends only on the features before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from training.networks import MultiHead


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are zero and stay so.

    Args:
        mask: Shape ``(outputs, inputs)``, True where an input may be seen.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype))

    def forward(self, rows: Tensor) -> Tensor:
        """See :class:`torch.nn.Linear`."""
        return linear(rows, self.weight * self.mask, self.bias)


class Weights(NamedTuple):
    """A masked network's weights, in the order in which features become known.

    Attributes:
        inputs: From each feature to the first hidden layer, ``(features, width)``.
        context: From the context to the first hidden layer, ``(width, context_features)``.
        biases: Of each hidden layer.
        onward: For each hidden layer but the last, from the units that each feature completes to
            the next layer, ``(features, units, next width)``.
        heads: From the last hidden layer to all heads, ``(features, width, sum of sizes)``.
        head_biases: ``(features, sum of sizes)``.
    """

    inputs: Tensor
    context: Tensor
    biases: list[Tensor]
    onward: list[Tensor]
    heads: Tensor
    head_biases: Tensor


class Completed(nn.Module):
    """Which units of a hidden layer are complete once the features before feature i are known.

    Padded to the same number for every feature.

    Args:
        degrees: Of the layer's units: how many of the first features each depends on.
        features: Size of a row.
    """

    units: Tensor
    real: Tensor

    def __init__(self, degrees: Tensor, features: int) -> None:
        super().__init__()
        found = [(degrees == known).nonzero().reshape(-1) for known in range(features)]
        most = max(1, *(len(units) for units in found))
        units = torch.zeros(features, most, dtype=torch.int64)
        real = torch.zeros(features, most)
        for known, some in enumerate(found):
            units[known, : len(some)], real[known, : len(some)] = some, 1.0
        self.register_buffer("units", units, persistent=False)
        self.register_buffer("real", real, persistent=False)

    def onward(self, weight: Tensor) -> Tensor:
        """Of a next layer ``(next width, units)``, the weights of these units."""
        chosen = weight.T.index_select(0, self.units.reshape(-1))
        return chosen.reshape(*self.units.shape, -1) * self.real[:, :, None]


class MaskedNetwork(MultiHead):
    """A trunk and heads of masked layers, for all features at once or for one after the other.

    :meth:`forward` gives the tables of all features of known rows. Where the rows are still being
    found, :meth:`start`, :meth:`tables` and :meth:`reveal` give the same numbers for about the
    work of one forward pass in all: what a hidden unit passes on is computed once, when the last
    feature that it depends on is known, and a head only for the feature that is next.

    Args:
        features: Features of a row.
        trunk: Masked layers, each with a ReLU behind it.
        heads: Masked layers.
        degrees: Of each hidden layer's units: how many of the first features each depends on.
    """

    def __init__(
        self,
        features: int,
        trunk: nn.Sequential,
        heads: Iterable[nn.Linear],
        degrees: Sequence[Tensor],
    ) -> None:
        super().__init__(trunk, heads)
        self.features = features
        self.completed = nn.ModuleList(Completed(units, features) for units in degrees[:-1])

    def weights(self) -> Weights:
        """The weights as the other methods take them; once for all features."""
        trunk, heads = self._linear(self.trunk), self.linear_heads()
        first, *later = (_weight(layer) for layer in trunk)
        return Weights(
            inputs=first[:, : self.features].T,
            context=first[:, self.features :],
            biases=[layer.bias for layer in trunk],
            onward=[
                units.onward(weight) for units, weight in zip(self._units(), later, strict=True)
            ],
            heads=torch.cat([self._by_feature(weight) for weight in self.head_weights()], 1).mT,
            head_biases=torch.cat([self._by_feature(head.bias[:, None]) for head in heads], 1)[
                :, :, 0
            ],
        )

    def start(self, weights: Weights, rows: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
        """Each hidden layer's sums ``(batch, width)`` before any feature of ``rows`` is known."""
        nothing = rows.new_zeros(rows.shape[0], 1)
        first, *later = (nothing + bias for bias in weights.biases)
        if context is not None:
            first = first + linear(context, weights.context)
        return first, *later

    def tables(
        self, weights: Weights, place: Tensor, sums: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Tables of the next feature, ``(batch, size)`` a head, and the sums that they needed.

        Args:
            weights: Of this network.
            place: The feature's index, shape ``(1,)``.
            sums: Of each hidden layer, once the features before it are known.
        """
        complete = list(sums)
        for k, units in enumerate(self._units()):
            now = units.units.index_select(0, place).squeeze(0)
            passed = relu(complete[k].index_select(1, now))
            onward = weights.onward[k].index_select(0, place).squeeze(0)
            complete[k + 1] = torch.addmm(complete[k + 1], passed, onward)
        head = weights.heads.index_select(0, place).squeeze(0)
        bias = weights.head_biases.index_select(0, place)
        tables = torch.addmm(bias, relu(complete[-1]), head)
        sizes = [head.out_features // self.features for head in self.linear_heads()]
        return torch.split(tables, sizes, dim=1), tuple(complete)

    def reveal(
        self, weights: Weights, place: Tensor, value: Tensor, sums: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """The sums once the feature at ``place`` is known to be ``value``, shape ``(batch,)``."""
        step = weights.inputs.index_select(0, place)
        return torch.addmm(sums[0], value.reshape(-1, 1), step), *sums[1:]

    def head_weights(self) -> list[Tensor]:
        """See :meth:`MultiHead.head_weights`."""
        return [_weight(head) for head in self.linear_heads()]

    def _by_feature(self, rows: Tensor) -> Tensor:
        return rows.reshape(self.features, -1, rows.shape[1])

    def _units(self) -> Sequence[Completed]:
        return cast("Sequence[Completed]", self.completed)

    @staticmethod
    def _linear(layers: Iterable[nn.Module]) -> list[nn.Linear]:
        return [layer for layer in layers if isinstance(layer, nn.Linear)]


def autoregressive(
    features: int, hidden: Sequence[int], sizes: Sequence[int], context_features: int = 0
) -> MaskedNetwork:
    """A network whose outputs for feature i see the context and only the features before i.

    Args:
        features: Features of a row going in.
        hidden: Widths of the hidden layers.
        sizes: Of each head, numbers per feature.
        context_features: Size of the context, which stands behind the features.

    References:
        Germain et al., MADE (2015), section 4. https://arxiv.org/abs/1502.03509
    """
    order = torch.arange(1, features + 1)
    # What has degree 0 is seen by all; without a context no unit needs that degree.
    seen = torch.cat([order, torch.zeros(context_features, dtype=torch.int64)])
    lowest = 0 if context_features else 1
    layers: list[nn.Module] = []
    degrees: list[Tensor] = []
    for width in hidden:
        units = torch.arange(width) % max(1, features - lowest) + lowest
        layers += [MaskedLinear(units[:, None] >= seen[None, :]), nn.ReLU()]
        degrees.append(units)
        seen = units
    allowed = order[:, None] > seen[None, :]
    heads = [MaskedLinear(allowed.repeat_interleave(size, dim=0)) for size in sizes]
    return MaskedNetwork(features, nn.Sequential(*layers), heads, degrees)


@torch.no_grad()
def unmask(module: nn.Module) -> None:
    """Replace every masked layer inside a module by a plain one with zeros in its weight."""
    for name, child in module.named_children():
        if isinstance(child, MaskedLinear):
            plain = nn.Linear(child.in_features, child.out_features).to(child.weight)
            plain.weight.copy_(child.weight * child.mask)
            plain.bias.copy_(child.bias)
            setattr(module, name, plain)
        else:
            unmask(child)


def _weight(layer: nn.Linear) -> Tensor:
    return layer.weight * layer.mask if isinstance(layer, MaskedLinear) else layer.weight
