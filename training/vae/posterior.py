"""Posteriors: a diagonal Gaussian that an encoder gives, carried on by a flow of any depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from training.bijections import Bijection, Chain, Continuous, Permuted, Velocity
from training.layers import Sizes, layer
from training.recipes import (
    LayeredFamily,
    MAFConfig,
    PlanarConfig,
    RadialConfig,
    RealNVPConfig,
    SplineCouplingConfig,
    SylvesterConfig,
    VAEConfig,
)
from training.vae.choice import placeholder

# Largest absolute log scale of the Gaussian, nats.
LOG_SCALE_BOUND = 7.0
# Of a continuous posterior. Its log-density is that of the path and not of the steps taken, so the
# bound holds up to the solver's error.
SOLVER_STEPS = 16
# Parts of the whole depth on offer.
PARTS = 4


def offered_depths(config: VAEConfig) -> tuple[int, ...]:
    """Numbers of layers that are trained to be enough, ascending; the last is all of them."""
    if config.posterior == "none":
        return ()
    layers = 1 if config.posterior == "cnf" else config.posterior_layers
    if not config.truncation:
        return (layers,)
    return tuple(sorted({0, math.ceil(layers / PARTS), math.ceil(2 * layers / PARTS), layers}))


class PosteriorFlow(nn.Module):
    """Layers behind the Gaussian, of which the first so many may be taken.

    Each leaves every latent number in its place and is near the identity at first, so that one
    decoder understands what any number of them gives. They run from noise to latent, in the
    layers' fast direction: ``iaf`` is the encode direction of masked autoregressive layers.

    Args:
        layers: In order.
        offered: See :func:`offered_depths`.
        context_features: Of what the encoder gives the layers; 0 where that is nothing.

    Attributes:
        first_group: Number of the first group of layers among those of a whole model.
    """

    first_group: int = 0

    def __init__(
        self, layers: Sequence[Bijection], offered: Sequence[int], context_features: int
    ) -> None:
        super().__init__()
        self.context_features = context_features
        self.offered = tuple(offered)
        self.ends = tuple(depth for depth in offered if depth)
        starts = (0, *self.ends[:-1])
        self.blocks = nn.ModuleList(
            Chain(layers[start:end]) for start, end in zip(starts, self.ends, strict=True)
        )

    def chains(self) -> Sequence[Chain]:
        """The layers from one offered depth to the next."""
        return cast("Sequence[Chain]", self.blocks)

    def forward(
        self, z: Tensor, context: Tensor | None, depth: Tensor | int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Carry ``(batch, latents)`` on; returns them and the log-det ``(batch,)``.

        Args:
            z: Draws of the Gaussian.
            context: Of each, ``(batch, context_features)``; None where the flow is not amortised.
            depth: How many layers, one of those on offer; None for all. A tensor in a graph that
                is traced, which gets a placeholder for each group of layers.
        """
        log_det = z.new_zeros(z.shape[0])
        for number, (end, block) in enumerate(zip(self.ends, self.chains(), strict=True)):
            if isinstance(depth, Tensor):
                both = placeholder(z, context, depth, self.first_group + number)
                z, term = both[:, :-1], both[:, -1]
            elif depth is None or depth >= end:
                z, term = block.encode(z, context)
            else:
                break
            log_det = log_det + term
        return z, log_det


class CarriedOn(nn.Module):
    """A group of layers, from one offered depth to the next, as the branch of a graph.

    Args:
        layers: Of the group.
    """

    def __init__(self, layers: Chain) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The result with the log-det behind it, ``(batch, latents + 1)``."""
        z, log_det = self.layers.encode(z, context)
        return torch.cat([z, log_det.unsqueeze(1)], dim=1)


def posterior_flow(
    config: VAEConfig, latents: int, generator: torch.Generator
) -> PosteriorFlow | None:
    """A fresh flow for a stochastic layer; None where the posterior stays Gaussian."""
    offered = offered_depths(config)
    if not offered:
        return None
    sizes = Sizes(latents, config.posterior_context if config.amortised else 0)
    if config.posterior == "cnf":
        widths = config.posterior_hidden[0], config.posterior_hidden[-1]
        velocity = Velocity(latents, widths, sizes.context_features)
        return PosteriorFlow([Continuous(velocity, SOLVER_STEPS)], offered, sizes.context_features)
    family = _family(config)
    orders = _orders(config, latents, generator)
    layers = [
        one if order is None else Permuted(one, order)
        for order in orders
        if (one := layer(family, sizes)) is not None
    ]
    if not layers:
        raise ValueError(
            f"posterior: {config.posterior} needs at least two latents, got {latents}"
        )
    return PosteriorFlow(layers, offered, sizes.context_features)


def _orders(config: VAEConfig, latents: int, generator: torch.Generator) -> list[Tensor | None]:
    """For each layer, in which order it sees the latents; every second one backwards."""
    if config.posterior not in ("iaf", "realnvp", "nsf"):
        return [None] * config.posterior_layers
    orders: list[Tensor | None] = []
    order = torch.arange(latents)
    for number in range(config.posterior_layers):
        if number % 2:
            order = order.flip(0)
        elif number:
            order = torch.randperm(latents, generator=generator)
        orders.append(order)
    return orders


def _family(config: VAEConfig) -> LayeredFamily:
    """The layers' own settings: what moves with the row is a linear function of its context."""
    hidden = config.posterior_hidden
    match config.posterior:
        case "planar":
            return PlanarConfig(family="planar", context_hidden=())
        case "radial":
            return RadialConfig(family="radial", context_hidden=())
        case "sylvester":
            return SylvesterConfig(family="sylvester", context_hidden=())
        case "iaf":
            return MAFConfig(family="maf", hidden=hidden)
        case "realnvp":
            return RealNVPConfig(family="realnvp", hidden=hidden)
        case _:
            return SplineCouplingConfig(family="nsf", hidden=hidden)
