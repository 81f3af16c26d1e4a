"""Recipes: everything that decides a training run, as one validated document. No torch here."""

from training.recipes.config import (
    FAMILIES,
    FamilyConfig,
    FitConfig,
    IAFConfig,
    MAFConfig,
    NiceConfig,
    PlanarConfig,
    RadialConfig,
    RealNVPConfig,
    Recipe,
    SplineAutoregressiveConfig,
    SplineCouplingConfig,
)
from training.recipes.read import read_recipe, resumed, shipped_recipes

__all__ = [
    "FAMILIES",
    "FamilyConfig",
    "FitConfig",
    "IAFConfig",
    "MAFConfig",
    "NiceConfig",
    "PlanarConfig",
    "RadialConfig",
    "RealNVPConfig",
    "Recipe",
    "SplineAutoregressiveConfig",
    "SplineCouplingConfig",
    "read_recipe",
    "resumed",
    "shipped_recipes",
]
