"""Small recipes, data and autoencoders, strained so that nothing is where it began."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from tests.training.fits import CONTEXT, blots
from training.recipes import AutoencoderConfig, Recipe, VAEConfig
from training.table import Table
from training.vae.autoencoder import Autoencoder
from training.vae.build import build_autoencoder, build_vae
from training.vae.data import Observations, prepare_observations
from training.vae.model import VAE

POSTERIORS = ("planar", "radial", "sylvester", "iaf", "realnvp", "nsf", "cnf")
CONVOLUTIONAL = {"network": "convolutional", "hidden": [3, 4, 8]}
ROWS = 400


def recipe(**model: Any) -> Recipe:
    """Of a small ``vae``, with some of its settings."""
    small = {
        "family": "vae",
        "latents": [3],
        "hidden": [8],
        "posterior_layers": 4,
        "posterior_hidden": [8],
        "posterior_context": 4,
        "prior_layers": 1,
        "prior_hidden": [8],
    }
    if model.get("family") == "autoencoder":
        small = {"latents": 2, "hidden": [8]}
    return Recipe.model_validate({"name": "t", "model": small | model})


def vae_config(**model: Any) -> VAEConfig:
    config = recipe(**model).model
    assert isinstance(config, VAEConfig)
    return config


def measured() -> Table:
    """Four columns of which the last never varies, with units of their own."""
    rng = np.random.default_rng(0)
    free = rng.normal(size=(ROWS, 3)) @ np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 7.0], [0, 0, 1.0]])
    return Table(
        "measured", ("a", "b", "c", "d"), np.column_stack([free + 10.0, np.full(ROWS, 7)])
    )


def counted() -> Table:
    """Two columns of whole numbers, from 0 and from 3."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.poisson(4.0, ROWS), 3 + rng.binomial(30, 0.4, ROWS)])
    return Table("counted", ("a", "b"), rows.astype(np.float64))


def images() -> Table:
    """Images of 4 x 4 bytes."""
    return blots().without(frozenset(CONTEXT))


def observations(table: Table, **model: Any) -> Observations:
    return prepare_observations(recipe(**model), table)


@torch.no_grad()
def strain(module: nn.Module, amount: float) -> None:
    """Move every parameter at random."""
    for parameter in module.parameters():
        parameter.add_(amount * torch.randn_like(parameter))


def vae(data: Observations, amount: float = 0.2, **model: Any) -> VAE:
    """Of the recipe with these settings, in the default type and seeded."""
    torch.manual_seed(0)
    made = build_vae(vae_config(**model), data, torch.Generator().manual_seed(0))
    strain(made, amount)
    return made


def autoencoder(data: Observations, **model: Any) -> Autoencoder:
    config = recipe(family="autoencoder", **model).model
    assert isinstance(config, AutoencoderConfig)
    torch.manual_seed(0)
    made = build_autoencoder(config, data)
    strain(made, 0.2)
    return made
