from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from training.onnx_export import GraphSpec, to_onnx
from training.runner import Runner


class _Graph(nn.Module):
    def __init__(self, of: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        return self.of(x)


@pytest.mark.parametrize(
    "of",
    [
        torch.asinh,
        nn.functional.softplus,
        lambda x: math.pi * x - math.log(2.0),
        lambda x: torch.where(x > 0.1, x, 0.1),
    ],
    ids=["asinh", "softplus", "numbers", "choice"],
)
def test_a_float64_graph_keeps_the_digits_of_float64(of: Callable[[Tensor], Tensor]) -> None:
    far = torch.logspace(-9.0, 2.5, 200, dtype=torch.float64)
    x = torch.cat([-far, torch.zeros(1, dtype=torch.float64), far])[:, None]
    spec = GraphSpec(_Graph(of), (x,), ("x",), ("y",), 1, {}, wide=True)
    got = torch.from_numpy(Runner({"g": to_onnx(spec)})("g", {"x": x.numpy()})["y"])
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, of(x), rtol=1e-14, atol=1e-15)
