"""Continuous layers: rows that flow along a velocity for one unit of time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

from training.bijections.base import Bijection, Chain
from training.bijections.velocity import Field, Velocity

# Evaluations of the velocity in one Runge-Kutta step.
STAGES = 4


class Continuous(Bijection):
    r"""Solve :math:`\dot z = v(z, t, c)` from data at :math:`t = 0` to latent at :math:`t = 1`.

    The log-det is :math:`\int_0^1 \nabla \cdot v \, dt`. Both are solved together by the classic
    Runge-Kutta method of order four, with equal steps that are the same for every row: steps that
    adapt would make a row's answer depend on the rows beside it. Encode and decode undo each other
    up to the error of the solver, which falls sixteenfold when the steps double.

    Args:
        velocity: Of rows, with its divergence.
        steps: From end to end; a scalar int64 tensor is an input of an exported graph.

    References:
        Chen et al., Neural ordinary differential equations (2018), section 4, theorem 1.
        https://arxiv.org/abs/1806.07366
    """

    def __init__(self, velocity: Velocity, steps: int | Tensor) -> None:
        super().__init__()
        self.velocity, self.steps = velocity, steps

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        return self._solve(x, context, 0.0, 1.0)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        return self._solve(z, context, 1.0, -1.0)

    def passes(self) -> tuple[int, int]:
        """See :meth:`Bijection.passes`."""
        passes = STAGES * int(self.steps)
        return passes, passes

    def _solve(
        self, rows: Tensor, context: Tensor | None, start: float, length: float
    ) -> tuple[Tensor, Tensor]:
        field, log_det = self.velocity.field(context), rows.new_zeros(rows.shape[0])
        steps = torch.as_tensor(self.steps)
        size = length / steps.to(rows.dtype)

        def more(done: Tensor, rows: Tensor, log_det: Tensor) -> Tensor:
            return done < steps

        def once(done: Tensor, rows: Tensor, log_det: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            moved, volume = _step(field, rows, start + size * done.to(rows.dtype), size)
            return done + 1, moved, log_det + volume

        state = (torch.zeros((), dtype=torch.int64), rows, log_det)
        if torch.compiler.is_exporting():
            state = while_loop(more, once, state)  # type: ignore[no-untyped-call]
        else:
            for _ in range(int(steps)):
                state = once(*state)
        return state[1], state[2]


def stepped(chain: Chain, steps: int | Tensor) -> Chain:
    """The same layers, parameters shared, with another number of steps in the continuous ones."""
    return Chain(
        [
            Continuous(layer.velocity, steps) if isinstance(layer, Continuous) else layer
            for layer in chain.bijections
        ]
    )


def is_continuous(chain: Chain) -> bool:
    """Whether a number of steps can be chosen."""
    return any(isinstance(layer, Continuous) for layer in chain.bijections)


def _step(field: Field, z: Tensor, t: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """One Runge-Kutta step: where the rows are after it, and the change of their log-det."""
    half = 0.5 * size
    first, div_first = field(z, t)
    second, div_second = field(z + half * first, t + half)
    third, div_third = field(z + half * second, t + half)
    fourth, div_fourth = field(z + size * third, t + size)
    moved = z + (size / 6.0) * (first + 2.0 * (second + third) + fourth)
    volume = (size / 6.0) * (div_first + 2.0 * (div_second + div_third) + div_fourth)
    return moved, volume
