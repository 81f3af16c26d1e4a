"""Steps repeated a fixed number of times, which an exported graph holds once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop


def repeated(times: int, once: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """``once`` applied ``times`` times; in an exported graph, one Loop node.

    Args:
        times: Number of applications.
        once: Maps the state to a new one of the same shape; it may use other tensors.
        start: The first state.
    """
    if not torch.compiler.is_exporting():
        for _ in range(times):
            start = once(start)
        return start

    def more(done: Tensor, state: Tensor) -> Tensor:
        return done < times

    def step(done: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return done + 1, once(state)

    looped: tuple[Tensor, ...] = while_loop(  # type: ignore[no-untyped-call]
        more, step, (torch.zeros((), dtype=torch.int64), start)
    )
    return looped[1]
