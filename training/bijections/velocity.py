"""The network behind a continuous flow: where a row moves at a time, and how volume changes there.

Exactly two hidden layers, because then the divergence is a closed form of matrix products whose
cost does not grow with the number of features.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Frequencies, in half turns over the unit of time, at which time enters beside itself: enough for
# a velocity that changes a few times between data and latent, and still smooth for the solver.
FREQUENCIES = 4
# The head begins almost at zero, so that a fresh flow is almost the identity, yet not exactly, so
# that the first step already moves the hidden layers.
HEAD_SCALE = 0.01

# Velocity ``(batch, features)`` and divergence ``(batch,)`` at rows and a time that all share.
Field = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Velocity(nn.Module):
    r"""A velocity :math:`v(z, t, c)` with its divergence :math:`\sum_i \partial v_i/\partial z_i`.

    With :math:`h_1 = \tanh(A z + a(t, c))`, :math:`h_2 = \tanh(B h_1 + b(t))` and
    :math:`v = C (g(t) \odot h_2) + d(t)` the divergence is

    .. math:: \sum_{jk} (1 - h_{2j}^2) g_j(t) B_{jk} (1 - h_{1k}^2) (A C)_{kj},

    one more product of the size of the middle layer, whatever the number of features. Time enters
    by :math:`a, b, g, d`, which are linear in :math:`t, \cos k \pi t, \sin k \pi t`.

    Args:
        features: Size of a row.
        hidden: Widths of the two hidden layers.
        context_features: Size of the context.
    """

    frequencies: Tensor

    def __init__(self, features: int, hidden: tuple[int, int], context_features: int = 0) -> None:
        super().__init__()
        first, second = hidden
        times = 1 + 2 * FREQUENCIES
        self.register_buffer("frequencies", math.pi * torch.arange(1.0, FREQUENCIES + 1))
        self.inner = nn.Linear(features, first)
        self.middle = nn.Linear(first, second)
        self.head = nn.Linear(second, features)
        self.inner_time = nn.Linear(times, first, bias=False)
        self.middle_time = nn.Linear(times, second, bias=False)
        self.gate_time = nn.Linear(times, second, bias=False)
        self.head_time = nn.Linear(times, features, bias=False)
        self.inner_context = (
            nn.Linear(context_features, first, bias=False) if context_features else None
        )
        with torch.no_grad():
            for part in (self.head, self.head_time):
                for parameter in part.parameters():
                    parameter.mul_(HEAD_SCALE)

    def forward(self, z: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Velocity of rows ``(batch, features)``, each at its own time ``(batch,)``."""
        time = self._time(t)
        _, second = self._hidden(z, time, self._shift(context))
        return self._out(second * self._gate(time), time)

    def field(self, context: Tensor | None = None) -> Field:
        """Velocity and divergence as a function of rows and one time, a scalar, for all of them.

        What does not depend on either is computed here, once for a whole solution.
        """
        shift = self._shift(context)
        coupled = self.middle.weight.T * (self.inner.weight @ self.head.weight)

        def at(z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            time = self._time(t.reshape(1)).squeeze(0)
            first, second = self._hidden(z, time, shift)
            gate = self._gate(time)
            gated = second * gate
            slope = gate - second * gated
            divergence = (((1.0 - first * first) @ coupled) * slope).sum(dim=1)
            return self._out(gated, time), divergence

        return at

    def _time(self, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        return torch.cat([t[:, None], angles.cos(), angles.sin()], dim=1)

    def _shift(self, context: Tensor | None) -> Tensor | None:
        if self.inner_context is None or context is None:
            return None
        shift: Tensor = self.inner_context(context)
        return shift

    def _hidden(self, z: Tensor, time: Tensor, shift: Tensor | None) -> tuple[Tensor, Tensor]:
        entering = _affine(self.inner, z, self.inner_time(time))
        first = torch.tanh(entering if shift is None else entering + shift)
        return first, torch.tanh(_affine(self.middle, first, self.middle_time(time)))

    def _gate(self, time: Tensor) -> Tensor:
        gate: Tensor = 1.0 + self.gate_time(time)
        return gate

    def _out(self, gated: Tensor, time: Tensor) -> Tensor:
        return _affine(self.head, gated, self.head_time(time))


def _affine(layer: nn.Linear, rows: Tensor, shift: Tensor) -> Tensor:
    """The layer with its bias shifted: for all rows alike, by one operator, or for each."""
    if shift.dim() == 1:
        return linear(rows, layer.weight, layer.bias + shift)
    shifted: Tensor = layer(rows) + shift
    return shifted
