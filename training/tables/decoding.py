"""Three forms of decoding autoregressive layers, so that the exported one is a measured choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from training import masked
from training.bijections import Affine, Autoregressive, RationalQuadratic
from training.bijections.loop import repeated
from training.masked import unmask
from training.onnx_export import GraphSpec, to_onnx

LAYERS, HIDDEN = 5, (128, 128)
BINS, BOUND = 8, 3.0
EXAMPLE_ROWS = 3

Decoded = tuple[Tensor, Tensor]


def _exported(layer: Autoregressive, z: Tensor) -> Decoded:
    return layer.decode(z)


def _whole_passes(layer: Autoregressive, z: Tensor) -> Decoded:
    """The whole conditioner once a feature; each pass makes one more feature right."""

    def once(state: Tensor) -> Tensor:
        tables = layer.tables(state[:, :-1], None)
        value, log_slope = layer.elementwise.decode(z, *tables)
        return torch.cat([value, log_slope.sum(dim=1, keepdim=True)], dim=1)

    start = torch.cat([torch.zeros_like(z), torch.zeros_like(z[:, :1])], dim=1)
    state = repeated(layer.features, once, start)
    return state[:, :-1], state[:, -1]


def _unrolled(layer: Autoregressive, z: Tensor) -> Decoded:
    """The exported steps without a Loop around them."""
    step, found = layer.search(z, None)
    for _ in range(layer.features):
        found = step(*found)
    return found[1], found[2]


FORMS: dict[str, Callable[[Autoregressive, Tensor], Decoded]] = {
    "step by step, Loop (exported)": _exported,
    "whole passes, Loop": _whole_passes,
    "unrolled": _unrolled,
}


class _Decode(nn.Module):
    def __init__(self, layers: list[Autoregressive], form: str) -> None:
        super().__init__()
        self.layers, self.form = nn.ModuleList(layers), FORMS[form]

    def forward(self, z: Tensor) -> Decoded:
        log_det = z.new_zeros(z.shape[0])
        for layer in cast("list[Autoregressive]", list(self.layers)):
            z, more = self.form(layer, z)
            log_det = log_det + more
        return z, log_det


def decode_graph(family: str, features: int, form: str) -> bytes:
    """ONNX bytes of five layers of ``maf`` or ``nsf_ar`` decoding in a form of :data:`FORMS`."""
    torch.manual_seed(0)
    elementwise = Affine() if family == "maf" else RationalQuadratic(BINS, BOUND)
    sizes = elementwise.parameters_per_scalar()
    layers = [
        Autoregressive(features, masked.autoregressive(features, HIDDEN, sizes), elementwise)
        for _ in range(LAYERS)
    ]
    module = _Decode(layers, form)
    unmask(module)
    z = torch.zeros(EXAMPLE_ROWS, features)
    passes = LAYERS * features
    return to_onnx(GraphSpec(module, (z,), ("z",), ("x", "log_det"), passes, {}))
