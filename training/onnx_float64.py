"""Operators of float64 graphs where the exporter's own would lose digits or have no kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnxscript import ir
from onnxscript import opset20 as op


def _scalar(
    s: float,
    dtype: int = ir.DataType.FLOAT,
    layout: str = "",
    device: str = "",
    pin_memory: bool = False,
) -> Any:  # noqa: ANN401
    """A number of the program; the exporter's own translation rounds it to float32."""
    return op.Constant(value=ir.tensor(s, dtype=ir.DataType(dtype)))


def _asinh(x: Any) -> Any:  # noqa: ANN401
    """sign(x) log(1 + |x| + x^2 / (1 + sqrt(1 + x^2))): Asinh has no float64 kernel."""
    size, square = op.Abs(x), op.Mul(x, x)
    one = op.CastLike(1.0, x)
    rest = op.Div(square, op.Add(one, op.Sqrt(op.Add(one, square))))
    return op.Mul(op.Sign(x), op.Log(op.Add(one, op.Add(size, rest))))


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:  # noqa: ANN401
    """log(1 + e^x), and x from the threshold on as in torch: Softplus has no float64 kernel."""
    if beta != 1.0:
        raise ValueError(f"expected a softplus of beta 1, got {beta}")
    bent = op.Log(op.Add(op.CastLike(1.0, x), op.Exp(x)))
    return op.Where(op.Greater(x, op.CastLike(threshold, x)), x, bent)


FLOAT64_OPERATORS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scalar_tensor.default: _scalar,
    torch.ops.aten.asinh.default: _asinh,
    torch.ops.aten.softplus.default: _softplus,
}
