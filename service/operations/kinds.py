"""The operations of each kind of model."""

from __future__ import annotations

from collections.abc import Mapping

from service.operations import flow, latent
from service.operations.spec import Operation
from service.served_autoencoder import ServedAutoencoder
from service.served_flow import ServedFlow
from service.served_kinds import AnyServed
from service.served_vae import ServedVAE

BY_KIND: Mapping[type[AnyServed], Mapping[str, Operation]] = {
    ServedFlow: flow.OPERATIONS,
    ServedVAE: latent.VAE_OPERATIONS,
    ServedAutoencoder: latent.AUTOENCODER_OPERATIONS,
}


def operation_of(served: AnyServed, name: str) -> Operation:
    """An operation that the model's manifest offers, and whose answer is columns."""
    return BY_KIND[type(served)][name]
