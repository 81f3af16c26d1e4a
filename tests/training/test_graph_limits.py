"""How big the graphs of every family are at its default sizes and many features."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from exported.kinds import REFERENCE_GRAPH
from training import masked
from training.bijections import Affine, Autoregressive, Chain
from training.flow import folded
from training.onnx_export import GraphSpec, to_onnx
from training.recipes import FAMILIES
from training.runner import Runner
from training.tables.graphs import family_graphs, load_s

LIMIT_BYTES = 5_000_000
LIMIT_LOAD_S = 0.5


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_graphs_at_default_sizes_are_small_and_load_at_once(family: str) -> None:
    for name, content in family_graphs(family):
        # Weights of float64 are twice as long.
        assert len(content) <= LIMIT_BYTES * (1 + (name == REFERENCE_GRAPH)), name
        assert load_s(content) <= LIMIT_LOAD_S, name


class _Decode(nn.Module):
    def __init__(self, layers: Chain) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers.decode(z)


@pytest.mark.slow
def test_autoregressive_layers_one_behind_the_other_export_as_loops() -> None:
    def layer() -> Autoregressive:
        return Autoregressive(3, masked.autoregressive(3, (6, 5), (1, 1)), Affine())

    layers = folded(Chain([layer(), layer()])).float()
    z = torch.randn(7, 3)
    spec = GraphSpec(_Decode(layers), (z,), ("z",), ("x", "log_det"), 3, {})
    content = to_onnx(spec)
    assert [node.op_type for node in onnx.load_from_string(content).graph.node].count("Loop") == 2
    got = Runner({"decode": content})("decode", {"z": z.numpy()})
    with torch.no_grad():
        x, log_det = layers.decode(z)
    np.testing.assert_allclose(got["x"], x, atol=1e-5)
    np.testing.assert_allclose(got["log_det"], log_det, atol=1e-5)
