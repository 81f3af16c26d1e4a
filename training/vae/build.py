"""From a recipe to fresh autoencoders."""

from __future__ import annotations

import torch
from torch import Tensor

from training import bases
from training.bijections import ActNorm, Bijection, Chain, LULinear
from training.families import build
from training.flow import Flow
from training.layers import Sizes
from training.networks import dense
from training.recipes import (
    AutoencoderConfig,
    FamilyConfig,
    MAFConfig,
    RealNVPConfig,
    SplineCouplingConfig,
    VAEConfig,
)
from training.vae import likelihoods, networks
from training.vae.autoencoder import Autoencoder
from training.vae.data import Observations
from training.vae.model import VAE, Gaussian, Level
from training.vae.posterior import posterior_flow


def build_autoencoder(config: AutoencoderConfig, data: Observations) -> Autoencoder:
    """A fresh deterministic autoencoder."""
    features = len(data.columns.modelled)
    return Autoencoder(
        networks.encoder(config, features, data.image, [config.latents]),
        networks.decoder(config, config.latents, features, data.image, 1),
    )


def build_vae(config: VAEConfig, data: Observations, generator: torch.Generator) -> VAE:
    """A fresh variational autoencoder.

    Args:
        config: The recipe's model section.
        data: What the rows are.
        generator: Draws the fixed permutations.
    """
    features = len(data.columns.modelled)
    likelihood = _likelihood(config, data)
    levels, upper = [], []
    for place, size in enumerate(config.latents):
        flow = posterior_flow(config, size, generator)
        told = config.posterior_context if flow is not None and config.amortised else 0
        heads = [size, size, *([told] if told else [])]
        if place == 0:
            network = networks.encoder(config, features, data.image, heads)
        else:
            below = config.latents[place - 1]
            network = dense(below, config.hidden[-1:], heads)
            upper.append(Gaussian(dense(size, config.hidden[-1:], [below, below])))
        levels.append(Level(Gaussian(network), flow))
    decoder = networks.decoder(config, config.latents[0], features, data.image, likelihood.tables)
    prior = _prior(config, config.latents[-1], generator)
    return VAE(levels, upper, prior, decoder, likelihood, config.latents)


def _prior(config: VAEConfig, latents: int, generator: torch.Generator) -> Flow:
    if config.prior == "none":
        return Flow(Chain([]))
    if config.prior == "linear":
        layers: list[Bijection] = [ActNorm(latents), LULinear(latents, generator)]
        return Flow(Chain(layers))
    return Flow(build(_prior_family(config), Sizes(latents), generator))


def _prior_family(config: VAEConfig) -> FamilyConfig:
    layers, hidden = config.prior_layers, config.prior_hidden
    match config.prior:
        case "realnvp":
            return RealNVPConfig(family="realnvp", layers=layers, hidden=hidden, marginal_bins=0)
        case "maf":
            return MAFConfig(family="maf", layers=layers, hidden=hidden, marginal_bins=0)
        case _:
            return SplineCouplingConfig(family="nsf", layers=layers, hidden=hidden)


def _likelihood(config: VAEConfig, data: Observations) -> likelihoods.Likelihood:
    features = len(data.columns.modelled)
    match config.likelihood:
        case "bernoulli":
            return likelihoods.Bernoulli()
        case "gaussian":
            return likelihoods.LocationScale(bases.StandardNormal(), features)
        case "student_t":
            return likelihoods.LocationScale(bases.StudentT(features), features)
        case _:
            return likelihoods.DiscretisedLogistic(*_cells(data))


def _cells(data: Observations) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Half a cell, the ends and a whole number of each column, in the model's unit.

    A column without ends has cells without end.
    """
    ends = torch.tensor(
        [_ends(column.interval) for column in data.columns.modelled], dtype=torch.float64
    ).T
    scaling = data.scaling()
    low, high = ((end - scaling.centre) / scaling.scale for end in ends)
    whole = (scaling.centre.round() - scaling.centre) / scaling.scale
    return (0.5 / scaling.scale).float(), low.float(), high.float(), whole.float()


def _ends(interval: object) -> tuple[float, float]:
    low, high = getattr(interval, "low", None), getattr(interval, "high", None)
    return (-torch.inf if low is None else low, torch.inf if high is None else high)
