"""From a family's configuration to a fresh flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from training import networks
from training.bijections import (
    ActNorm,
    Affine,
    Autoregressive,
    Bijection,
    Chain,
    Coupling,
    ElementwiseMap,
    ElementwiseSpline,
    Inverse,
    LULinear,
    Planar,
    Radial,
    RationalQuadratic,
    Shift,
)
from training.recipes import (
    FamilyConfig,
    IAFConfig,
    MAFConfig,
    NiceConfig,
    RealNVPConfig,
    SplineAutoregressiveConfig,
    SplineCouplingConfig,
)


def build(config: FamilyConfig, features: int, generator: torch.Generator) -> Chain:
    """A fresh chain of a family for rows of ``features`` numbers.

    Args:
        config: The recipe's model section.
        features: Size of a row after preprocessing.
        generator: Draws the fixed permutations.
    """
    chain: list[Bijection] = []
    if config.marginal_bins:
        chain.append(ElementwiseSpline(features, config.marginal_bins, config.tail_bound))
    for _ in range(config.layers):
        layer = _LAYERS[config.family](config, features)
        if layer is not None:
            chain += [ActNorm(features), LULinear(features, generator), layer]
    return Chain([*chain, ActNorm(features), LULinear(features, generator)])


def _nice(config: NiceConfig, features: int) -> Bijection | None:
    return _coupling(config, features, Shift())


def _realnvp(config: RealNVPConfig, features: int) -> Bijection | None:
    return _coupling(config, features, Affine())


def _nsf(config: SplineCouplingConfig, features: int) -> Bijection | None:
    return _coupling(config, features, RationalQuadratic(config.bins, config.tail_bound))


# One layer of each family; None where there is too little to work on.
_LAYERS: dict[str, Callable[[Any, int], Bijection | None]] = {
    "planar": lambda config, features: Planar(features),
    "radial": lambda config, features: Radial(features),
    "maf": lambda config, features: _autoregressive(config, features, Affine()),
    "iaf": lambda config, features: Inverse(_autoregressive(config, features, Affine())),
    "nsf_ar": lambda config, features: _autoregressive(
        config, features, RationalQuadratic(config.bins, config.tail_bound)
    ),
    "nice": _nice,
    "realnvp": _realnvp,
    "nsf": _nsf,
}


def _autoregressive(
    config: MAFConfig | IAFConfig | SplineAutoregressiveConfig,
    features: int,
    elementwise: ElementwiseMap,
) -> Autoregressive:
    sizes = elementwise.parameters_per_scalar()
    conditioner = networks.autoregressive(features, config.hidden, sizes)
    return Autoregressive(features, conditioner, elementwise)


def _coupling(
    config: NiceConfig | RealNVPConfig | SplineCouplingConfig,
    features: int,
    elementwise: ElementwiseMap,
) -> Coupling | None:
    if features < 2:
        return None  # A single feature has nothing to be coupled to; its marginal spline remains.
    kept = features // 2
    changed = features - kept
    heads = [changed * size for size in elementwise.parameters_per_scalar()]
    return Coupling(kept, changed, networks.dense(kept, config.hidden, heads), elementwise)
