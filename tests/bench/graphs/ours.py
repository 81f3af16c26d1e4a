"""The product's graphs, their parts, and their floor: the conditioners' matrix products alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cache
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.bijections import Bijection, Chain, Coupling
from training.evaluate import full_flow
from training.families import build_flow
from training.flow import Flow
from training.graphs import Parts, table_graphs
from training.layers import Sizes
from training.onnx_export import GraphSpec, to_onnx
from training.prepared import Prepared, prepare
from training.recipes import Recipe
from training.table import Table
from training.tables.graphs import MIXED

FEATURES = 16
SIDES = (8, 8, 1)
NSF = {"family": "nsf", "layers": 5, "bins": 8, "hidden": [128, 128]}
# The couplings and the linear layers between them, with no spline of each feature before them.
BARE = {**NSF, "marginal_bins": 0}
# Deviation added to every parameter, so that no layer is the identity.
STRAIN = 0.03


@cache
def flow_of(family: str) -> tuple[Flow, Prepared]:
    """A family's float64 flow at its default sizes and 16 features, strained, and its data."""
    model: Mapping[str, object] = {"nsf": NSF, "bare": BARE}.get(family, {"family": family})
    if family == "mixed":
        model = {**model, "layers": MIXED}
    recipe = Recipe.model_validate({"name": "bench", "model": model})
    image = SIDES if family == "glow" else None
    features = SIDES[0] * SIDES[1] if image else FEATURES
    rows = np.random.default_rng(0).normal(size=(400, features))
    table = Table(
        "bench",
        tuple(f"x{i}" for i in range(features)),
        np.rint(100.0 + 10.0 * rows) if image else rows,
        image=image,
    )
    prepared = prepare(recipe, table)
    generator = torch.Generator().manual_seed(0)
    flow = build_flow(recipe.flow(), Sizes(features, image=image), generator)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(STRAIN * torch.randn_like(parameter))
    return full_flow(flow, prepared), prepared


def family_graph(family: str, name: str) -> bytes:
    """``log_prob`` or ``decode`` of a family at its default sizes and 16 features; or ``bare``."""
    return to_onnx(table_graphs(*flow_of(family))[name])


def floor_graph() -> bytes:
    """The networks of the spline couplings, each on the same input, all tables as outputs."""
    couplings = [b for b in flow_of("nsf")[0].bijection.modules() if isinstance(b, Coupling)]
    networks = _Networks([copy.deepcopy(c.conditioner) for c in couplings]).float()
    rows = torch.zeros(3, couplings[0].kept)
    names = tuple(f"table{i}" for i in range(len(networks(rows))))
    return to_onnx(GraphSpec(networks, (rows,), ("x",), names, 1, {}))


def parameters() -> int:
    """Numbers in the networks of the spline couplings."""
    couplings = [b for b in flow_of("nsf")[0].bijection.modules() if isinstance(b, Coupling)]
    return sum(p.numel() for c in couplings for p in c.conditioner.parameters())


class _Networks(nn.Module):
    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(table for network in self.networks for table in network(x))


def part_graph(part: str) -> bytes:
    """Some layers of the spline flow's ``log_prob``: ``couplings`` or ``ends``, the others."""
    density, prepared = flow_of("nsf")
    layers = cast("Sequence[Bijection]", list(Parts.of(density, prepared).layers.bijections))
    first = next(i for i, layer in enumerate(layers) if isinstance(layer, Coupling)) - 1
    chosen = layers[first:] if part == "couplings" else layers[:first]
    rows = torch.zeros(3, FEATURES)
    return to_onnx(GraphSpec(_Encode(Chain(chosen)), (rows,), ("x",), ("z", "log_det"), 1, {}))


class _Encode(nn.Module):
    def __init__(self, layers: Chain) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers.encode(x)
