"""The same architecture in zuko and nflows: eager, compiled, and exported where they export."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from tests.bench.graphs.ours import FEATURES
from training.onnx_export import GraphSpec, to_onnx

LAYERS, BINS, HIDDEN, BOUND = 5, 8, 128, 4.0
EXAMPLE_ROWS = 3


class ZukoLogProb(nn.Module):
    """zuko's spline coupling flow; its network gives tables for all features, not for half."""

    def __init__(self) -> None:
        super().__init__()
        zuko = importlib.import_module("zuko")
        self.flow = zuko.flows.NSF(
            FEATURES,
            transforms=LAYERS,
            bins=BINS,
            passes=2,
            hidden_features=(HIDDEN, HIDDEN),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Log-densities."""
        found: Tensor = self.flow().log_prob(x)
        return found


class ZukoDecode(ZukoLogProb):
    """The other direction."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows of latents."""
        found: Tensor = self.flow().transform.inv(x)
        return found


class _Conditioner(nn.Module):
    """As wide as ours; nflows hands it a context, which there is none of."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, outputs),
        )
        self.hidden_features = HIDDEN

    def forward(self, rows: Tensor, context: None = None) -> Tensor:
        """Tables."""
        found: Tensor = self.layers(rows)
        return found


class NflowsLogProb(nn.Module):
    """nflows' spline coupling, with the halves exchanged by a permutation."""

    def __init__(self) -> None:
        super().__init__()
        transforms = importlib.import_module("nflows.transforms")
        flows = importlib.import_module("nflows.flows")
        bases = importlib.import_module("nflows.distributions")
        mask = torch.arange(FEATURES) % 2

        layers = [
            layer
            for _ in range(LAYERS)
            for layer in (
                transforms.PiecewiseRationalQuadraticCouplingTransform(
                    mask, _Conditioner, num_bins=BINS, tails="linear", tail_bound=BOUND
                ),
                transforms.ReversePermutation(FEATURES),
            )
        ]
        base = bases.StandardNormal([FEATURES])
        self.flow = flows.Flow(transforms.CompositeTransform(layers), base)

    def forward(self, x: Tensor) -> Tensor:
        """Log-densities."""
        found: Tensor = self.flow.log_prob(x)
        return found


class NflowsDecode(NflowsLogProb):
    """The other direction."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows of latents."""
        found: Tensor = self.flow._transform.inverse(x)[0]
        return found


MODULES: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "zuko": {"log_prob": ZukoLogProb, "decode": ZukoDecode},
    "nflows": {"log_prob": NflowsLogProb, "decode": NflowsDecode},
}


def installed(library: str) -> bool:
    """Whether it can be imported."""
    return importlib.util.find_spec(library) is not None


def module(library: str, direction: str) -> nn.Module:
    """The flow in one direction, parameters of a seed."""
    torch.manual_seed(0)
    return MODULES[library][direction]().eval().requires_grad_(requires_grad=False)


@cache
def compiled(library: str) -> Callable[[Tensor], Tensor]:
    """Its log-density by torch.compile, which takes a minute at the first call."""
    made: Callable[[Tensor], Tensor] = torch.compile(module(library, "log_prob"), dynamic=True)
    return made


def graph(library: str, direction: str) -> bytes:
    """The same as ONNX; empty where the exporter refuses it."""
    rows = torch.zeros(EXAMPLE_ROWS, FEATURES)
    spec = GraphSpec(module(library, direction), (rows,), ("x",), ("y",), 1, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return to_onnx(spec)
        except Exception:  # Whatever another library makes the exporter raise.
            return b""
