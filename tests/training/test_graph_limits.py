"""How big the graphs of every family are at its default sizes and many features."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from training import masked
from training.bijections import Affine, Autoregressive, Chain
from training.evaluate import full_flow
from training.families import build_flow
from training.flow import folded
from training.graphs import table_graphs
from training.layers import Sizes
from training.onnx_export import GraphSpec, to_onnx
from training.prepared import Prepared, prepare
from training.recipes import FAMILIES, Recipe
from training.runner import Runner
from training.table import Table

FEATURES, SIDES = 64, (8, 8, 1)
LIMIT_BYTES = 5_000_000
LIMIT_LOAD_S = 0.5
LOADS = 3  # The quickest counts.


def _prepared(recipe: Recipe) -> Prepared:
    rows = np.random.default_rng(0).normal(size=(200, FEATURES))
    image = SIDES if recipe.model.family == "glow" else None
    if image:
        rows = np.rint(100.0 + 10.0 * rows)
    names = tuple(f"x{i}" for i in range(FEATURES))
    return prepare(recipe, Table("wide", names, rows, image=image))


def _load_s(content: bytes) -> float:
    """Of the processor, which one thread loads on: a busy neighbour's share is not counted."""
    started = time.process_time()
    Runner({"graph": content})
    return time.process_time() - started


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_graphs_at_default_sizes_are_small_and_load_at_once(family: str) -> None:
    layers = {"layers": [{"family": "nsf", "layers": 2}, {"family": "maf", "layers": 2}]}
    model = {"family": family} | (layers if family == "mixed" else {})
    recipe = Recipe.model_validate({"name": "wide", "model": model})
    prepared = _prepared(recipe)
    flow = build_flow(
        recipe.model, Sizes(FEATURES, image=prepared.image), torch.Generator().manual_seed(0)
    )
    for name, spec in table_graphs(full_flow(flow, prepared), prepared).items():
        content = to_onnx(spec)
        assert len(content) <= LIMIT_BYTES, name
        assert min(_load_s(content) for _ in range(LOADS)) <= LIMIT_LOAD_S, name


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
