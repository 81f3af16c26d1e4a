"""From a family's configuration to a fresh flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from training import bases
from training.bijections import (
    ActNorm,
    Bijection,
    Chain,
    Continuous,
    ElementwiseSpline,
    LULinear,
    Squash,
    Velocity,
)
from training.flow import Flow
from training.glow import glow
from training.layers import Sizes, layer
from training.pixels import need_image
from training.recipes import (
    MIXTURE_COMPONENTS,
    CNFConfig,
    DiffusionConfig,
    FamilyConfig,
    GlowConfig,
    LayeredFamily,
    MAFConfig,
    MixedConfig,
    Recipe,
    SplineAutoregressiveConfig,
)

# Steps of the solver where a likelihood is taken in the fit: to train through, and to choose the
# epoch. Fewer would let the training exploit the solver's error.
FIT_STEPS = 8


def fresh_flow(recipe: Recipe, sizes: Sizes) -> Flow:
    """The recipe's layers before any training, the same every time."""
    torch.set_num_threads(recipe.fit.threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return build_flow(recipe.flow(), sizes, torch.Generator().manual_seed(recipe.seed))


def build_flow(config: FamilyConfig, sizes: Sizes, generator: torch.Generator) -> Flow:
    """A fresh flow: the chain of :func:`build` and the recipe's base."""
    chain = build(config, sizes, generator)
    if config.base == "uniform":
        chain = Chain([*chain.bijections, Squash()])
    return Flow(chain, _BASES[config.base](config, sizes.features))


def build(config: FamilyConfig, sizes: Sizes, generator: torch.Generator) -> Chain:
    """A fresh chain of a family.

    Args:
        config: The recipe's model section.
        sizes: Of the rows and their context.
        generator: Draws the fixed permutations.
    """
    return Chain(_CHAINS.get(config.family, _layered)(config, sizes, generator))


def _layered(config: LayeredFamily, sizes: Sizes, generator: torch.Generator) -> list[Bijection]:
    features = sizes.features
    keeps_order = isinstance(config, MAFConfig | SplineAutoregressiveConfig) and not config.mixing

    def between() -> list[Bijection]:
        norm = ActNorm(features)
        return [norm] if keeps_order else [norm, LULinear(features, generator)]

    chain = _marginal(config.marginal_bins, config.tail_bound, features)
    for _ in range(config.layers):
        one = layer(config, sizes)
        if one is not None:
            chain += [*between(), one]
    return [*chain, *between()]


def _continuous(
    config: CNFConfig | DiffusionConfig, sizes: Sizes, generator: torch.Generator
) -> list[Bijection]:
    features = sizes.features
    chain = _marginal(config.marginal_bins, config.tail_bound, features)
    velocity = Velocity(features, config.hidden, sizes.context_features)
    mixing = [ActNorm(features), LULinear(features, generator)]
    return [*chain, *mixing, Continuous(velocity, FIT_STEPS)]


def _glow(config: GlowConfig, sizes: Sizes, generator: torch.Generator) -> list[Bijection]:
    image = need_image(sizes.image, sizes.features)
    return list(glow(config, image, sizes.context_features, generator).bijections)


def _mixed(config: MixedConfig, sizes: Sizes, generator: torch.Generator) -> list[Bijection]:
    return [
        one
        for part in config.layers
        for one in _CHAINS.get(part.family, _layered)(part, sizes, generator)
    ]


def _marginal(bins: int, bound: float, features: int) -> list[Bijection]:
    return [ElementwiseSpline(features, bins, bound)] if bins else []


# Families that are more than layers of one kind.
_CHAINS: dict[str, Callable[[Any, Sizes, torch.Generator], list[Bijection]]] = {
    "cnf": _continuous,
    "diffusion": _continuous,
    "glow": _glow,
    "mixed": _mixed,
}

# The density of the latents, by the recipe's name for it.
_BASES: dict[str, Callable[[FamilyConfig, int], bases.BaseDensity]] = {
    "standard_normal": lambda config, features: bases.StandardNormal(),
    "student_t": lambda config, features: bases.StudentT(features),
    "gaussian_mixture": lambda config, features: bases.GaussianMixture(
        features, config.mixture_components or MIXTURE_COMPONENTS
    ),
    "uniform": lambda config, features: bases.Uniform(),
}
