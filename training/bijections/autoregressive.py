"""Autoregressive layers: every feature, given those before it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

from training.bijections.base import Bijection, with_context
from training.bijections.maps import ElementwiseMap
from training.masked import MaskedNetwork

Step = Callable[..., tuple[Tensor, ...]]


class Autoregressive(Bijection):
    r"""Map feature i by a monotone function whose parameters the features before it decide.

    :math:`z_i = g_{\phi_i(x_{<i})}(x_i)`; the Jacobian is lower triangular, so
    :math:`\log|\det J| = \sum_i \log g'_i(x_i)`. Encoding takes one pass of the conditioner.
    Decoding finds one feature after the other: what the network says of the next one is complete
    once those before it are known, and each step computes only that. In an exported graph the
    steps are one Loop node.

    Args:
        features: Size of a row.
        conditioner: Maps ``(batch, features + context_features)`` to the map's tables, each
            ``features`` times :meth:`~ElementwiseMap.parameters_per_scalar` wide; the entries of
            feature i depend only on the features before i.
        elementwise: The map.

    References:
        Papamakarios et al., Masked autoregressive flow for density estimation (2017), section 3.
        https://arxiv.org/abs/1705.07057
    """

    def __init__(
        self, features: int, conditioner: MaskedNetwork, elementwise: ElementwiseMap
    ) -> None:
        super().__init__()
        self.features = features
        self.conditioner, self.elementwise = conditioner, elementwise

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        z, terms = self.encode_terms(x, context)
        return z, terms.sum(dim=1)

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return True

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        return self.elementwise.encode(x, *self.tables(x, context))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        step, found = self.search(z, context)
        if torch.compiler.is_exporting():
            found = while_loop(lambda known, *_: known < self.features, step, found)  # type: ignore[no-untyped-call]
        else:
            for _ in range(self.features):
                found = step(*found)
        return found[1], found[2]

    def search(self, z: Tensor, context: Tensor | None) -> tuple[Step, tuple[Tensor, ...]]:
        """The step that finds one more feature, and the state in which none is known.

        The state is how many features are known, the rows ``(batch, features)`` so far, their
        log-det, and the conditioner's sums.
        """
        network, weights = self.conditioner, self.conditioner.weights()
        z = z.clone()  # Tracing a loop whose body holds the output of another does not end.
        columns = torch.eye(self.features, dtype=z.dtype, device=z.device)

        def step(known: Tensor, x: Tensor, log_det: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
            place = known.reshape(1)
            tables, sums = network.tables(weights, place, sums)
            scalars = z.index_select(1, place).reshape(-1)
            value, log_slope = self.elementwise.decode_one(scalars, *tables)
            sums = network.reveal(weights, place, value, sums)
            x = torch.addmm(x, value.reshape(-1, 1), columns.index_select(0, place))
            return known + 1, x, log_det + log_slope, *sums

        none = torch.zeros((), dtype=torch.int64, device=z.device)
        sums = network.start(weights, z, context)
        return step, (none, torch.zeros_like(z), z.new_zeros(z.shape[0]), *sums)

    def passes(self) -> tuple[int, int]:
        """See :meth:`Bijection.passes`; a decode takes its steps one after the other."""
        return 1, self.features

    def tables(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
        """The map's tables for known rows."""
        return self.elementwise.ask(self.conditioner, with_context(x, context))


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
