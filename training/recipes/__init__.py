"""Recipes: everything that decides a training run, as one validated document. No torch here."""

from training.recipes.config import FAMILIES, FitConfig, Recipe, SplineCouplingConfig
from training.recipes.read import read_recipe, shipped_recipes

__all__ = [
    "FAMILIES",
    "FitConfig",
    "Recipe",
    "SplineCouplingConfig",
    "read_recipe",
    "shipped_recipes",
]
