"""From a family's configuration to a fresh flow."""

from __future__ import annotations

import torch

from training.bijections import (
    ActNorm,
    Bijection,
    Chain,
    ElementwiseSpline,
    LULinear,
    RationalQuadratic,
    SplineCoupling,
)
from training.networks import MultiHead
from training.recipes import SplineCouplingConfig


def build(config: SplineCouplingConfig, features: int, generator: torch.Generator) -> Chain:
    """A fresh chain of the family for rows of ``features`` numbers.

    Args:
        config: The recipe's model section.
        features: Size of a row after preprocessing.
        generator: Draws the fixed permutations.
    """
    layers: list[Bijection] = [
        ElementwiseSpline(features, config.marginal_bins, config.tail_bound)
    ]
    if features > 1:  # A single feature has nothing to be coupled to.
        for _ in range(config.layers):
            mixing = [ActNorm(features), LULinear(features, generator)]
            layers += [*mixing, _spline_coupling(config, features)]
        layers += [ActNorm(features), LULinear(features, generator)]
    else:
        layers.append(ActNorm(features))
    return Chain(layers)


def _spline_coupling(config: SplineCouplingConfig, features: int) -> SplineCoupling:
    kept = features // 2
    changed = features - kept
    spline = RationalQuadratic(config.bins, config.tail_bound)
    heads = [changed * size for size in spline.parameters_per_scalar()]
    return SplineCoupling(kept, changed, MultiHead(kept, config.hidden, heads), spline)
