"""From a family's configuration to a fresh flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    PlanarConfig,
    RadialConfig,
    RealNVPConfig,
    SplineAutoregressiveConfig,
    SplineCouplingConfig,
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a layer works on.

    Attributes:
        features: Size of a row after preprocessing.
        context_features: Size of the context after preprocessing, possibly 0.
    """

    features: int
    context_features: int = 0


def build(config: FamilyConfig, sizes: Sizes, generator: torch.Generator) -> Chain:
    """A fresh chain of a family.

    Args:
        config: The recipe's model section.
        sizes: Of the rows and their context.
        generator: Draws the fixed permutations.
    """
    features = sizes.features
    chain: list[Bijection] = []
    if config.marginal_bins:
        chain.append(ElementwiseSpline(features, config.marginal_bins, config.tail_bound))
    for _ in range(config.layers):
        layer = _LAYERS[config.family](config, sizes)
        if layer is not None:
            chain += [ActNorm(features), LULinear(features, generator), layer]
    return Chain([*chain, ActNorm(features), LULinear(features, generator)])


def _planar(config: PlanarConfig, sizes: Sizes) -> Bijection:
    return Planar(sizes.features)


def _radial(config: RadialConfig, sizes: Sizes) -> Bijection:
    return Radial(sizes.features)


def _nice(config: NiceConfig, sizes: Sizes) -> Bijection | None:
    return _coupling(config, sizes, Shift())


def _realnvp(config: RealNVPConfig, sizes: Sizes) -> Bijection | None:
    return _coupling(config, sizes, Affine())


def _nsf(config: SplineCouplingConfig, sizes: Sizes) -> Bijection | None:
    return _coupling(config, sizes, RationalQuadratic(config.bins, config.tail_bound))


def _maf(config: MAFConfig, sizes: Sizes) -> Bijection:
    return _autoregressive(config, sizes, Affine())


def _iaf(config: IAFConfig, sizes: Sizes) -> Bijection:
    return Inverse(_autoregressive(config, sizes, Affine()))


def _nsf_ar(config: SplineAutoregressiveConfig, sizes: Sizes) -> Bijection:
    return _autoregressive(config, sizes, RationalQuadratic(config.bins, config.tail_bound))


# One layer of each family; None where there is too little to work on.
_LAYERS: dict[str, Callable[[Any, Sizes], Bijection | None]] = {
    "planar": _planar,
    "radial": _radial,
    "nice": _nice,
    "realnvp": _realnvp,
    "nsf": _nsf,
    "maf": _maf,
    "iaf": _iaf,
    "nsf_ar": _nsf_ar,
}


def _autoregressive(
    config: MAFConfig | IAFConfig | SplineAutoregressiveConfig,
    sizes: Sizes,
    elementwise: ElementwiseMap,
) -> Autoregressive:
    conditioner = networks.autoregressive(
        sizes.features,
        config.hidden,
        elementwise.parameters_per_scalar(),
        sizes.context_features,
    )
    return Autoregressive(sizes.features, conditioner, elementwise)


def _coupling(
    config: NiceConfig | RealNVPConfig | SplineCouplingConfig,
    sizes: Sizes,
    elementwise: ElementwiseMap,
) -> Coupling | None:
    kept = sizes.features // 2
    seen = kept + sizes.context_features
    if not seen:
        return None  # A single feature has nothing to be coupled to; its marginal spline remains.
    changed = sizes.features - kept
    heads = [changed * size for size in elementwise.parameters_per_scalar()]
    return Coupling(kept, changed, networks.dense(seen, config.hidden, heads), elementwise)
