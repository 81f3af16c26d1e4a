"""The graph of the gradient of a flow's log-density, traced once and exported like any other.

The exporter does not differentiate, so the derivative is taken before it: tracing
:func:`torch.func.grad` gives a module of plain operators, its batch axis still free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from training.bijections import Inverse
from training.bijections.continuous import is_continuous
from training.columns import Columns
from training.flow import Flow
from training.onnx_export import GraphSpec

TRACED_ROWS = 101
# An inverse map is found one feature after the other; ONNX has no gradient of a convolution.
_WITHOUT = (Inverse, nn.Conv2d)


class GradientGraph(nn.Module):
    """Raw rows ``(batch, columns)`` to ``gradient``, shaped alike: nats per deviation of a column.

    Args:
        log_prob: The graph whose first output is differentiated by the rows.
        columns: Of the table; a constant one has a gradient of zero.
        examples: Of the graph's inputs.
    """

    def __init__(
        self, log_prob: nn.Module, columns: Columns, examples: tuple[Tensor, ...]
    ) -> None:
        super().__init__()
        log_prob.eval().requires_grad_(False)
        deviation = torch.tensor([column.deviation for column in columns.all])
        function = per_deviation(lambda *given: log_prob(*given)[0], deviation)
        # Weights are no inputs: the tracer has to take them as they are.
        trace = make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)
        self.traced = trace(*(_long(one, examples) for one in examples))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """See the class."""
        found: Tensor = self.traced(x) if context is None else self.traced(x, context)
        return found


def _long(example: Tensor, all_: tuple[Tensor, ...]) -> Tensor:
    """More rows, of a number that no other axis has: the tracer takes equal sizes for one."""
    rows = TRACED_ROWS
    while any(rows in one.shape[1:] for one in all_):
        rows += 1
    return example[:1].expand(rows, -1).clone()


def per_deviation(log_prob: Callable[..., Tensor], deviation: Tensor) -> Callable[..., Tensor]:
    """The gradient by rows, of rows and what else a log-density is given, times deviations."""

    def summed(*given: Tensor) -> Tensor:
        return log_prob(*given).sum()  # rows are independent: each has its own gradient

    def function(*given: Tensor) -> Tensor:
        slope: Tensor = torch.func.grad(summed)(*given)
        return (slope * deviation.to(slope.dtype)).to(torch.float32)

    return function


def has_gradient(density: Flow) -> bool:
    """Whether the exporter takes it: not through solvers, convolutions or a loop over features."""
    chain = density.bijection
    parts = chain.modules()
    return not is_continuous(chain) and not any(isinstance(p, _WITHOUT) for p in parts)


def gradient_spec(log_prob: GraphSpec, columns: Columns) -> GraphSpec:
    """The graph of the gradient of another one's first output."""
    module = GradientGraph(log_prob.module, columns, log_prob.examples)
    return replace(log_prob, module=module, outputs=("gradient",), passes=2 * log_prob.passes)
