"""Recipes: everything that decides a training run, as one validated document. No torch here."""

from training.recipes.config import Ends, FitConfig, Recipe
from training.recipes.energy import EnergyFitConfig, ReverseKLConfig
from training.recipes.family import (
    FAMILIES,
    MIXTURE_COMPONENTS,
    CNFConfig,
    DiffusionConfig,
    GlowConfig,
    IAFConfig,
    LayeredFamily,
    MAFConfig,
    NiceConfig,
    PlanarConfig,
    RadialConfig,
    RealNVPConfig,
    SplineAutoregressiveConfig,
    SplineCouplingConfig,
    SylvesterConfig,
)
from training.recipes.mixed import FamilyConfig, MixedConfig
from training.recipes.read import read_recipe, resumed, shipped_recipes
from training.recipes.vae import AUTOENCODERS, AutoencoderConfig, VAEConfig

__all__ = [
    "AUTOENCODERS",
    "FAMILIES",
    "MIXTURE_COMPONENTS",
    "AutoencoderConfig",
    "CNFConfig",
    "DiffusionConfig",
    "Ends",
    "EnergyFitConfig",
    "FamilyConfig",
    "FitConfig",
    "GlowConfig",
    "IAFConfig",
    "LayeredFamily",
    "MAFConfig",
    "MixedConfig",
    "NiceConfig",
    "PlanarConfig",
    "RadialConfig",
    "RealNVPConfig",
    "Recipe",
    "ReverseKLConfig",
    "SplineAutoregressiveConfig",
    "SplineCouplingConfig",
    "SylvesterConfig",
    "VAEConfig",
    "read_recipe",
    "resumed",
    "shipped_recipes",
]
