"""A bundle as a model in this process, with what is to be asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

from logdet.errors import UserError
from logdet.options import Reference, find
from service.autoencoder import Autoencoder
from service.config import default_sessions
from service.kinds import AnyModel, load
from service.model import Model
from service.runtime import Runtime
from service.vae import VAE

Provider = Literal["auto", "cpu", "cuda"]


def open_any(bundles: Path, reference: Reference, provider: Provider) -> AnyModel:
    """Load the model that was named, with a session for each thread.

    Raises:
        BundleError: If there is none, or it is refused.
        StartError: If it cannot run on the provider.
    """
    return load(find(bundles, reference), Runtime.choose(provider, default_sessions()))


@overload
def open_model(
    bundles: Path, reference: Reference, provider: Provider, operation: Literal["score"]
) -> AnyModel: ...
@overload
def open_model(
    bundles: Path, reference: Reference, provider: Provider, operation: Literal["sample"]
) -> Model | VAE: ...
@overload
def open_model(
    bundles: Path, reference: Reference, provider: Provider, operation: Literal["reconstruct"]
) -> VAE | Autoencoder: ...
@overload
def open_model(
    bundles: Path, reference: Reference, provider: Provider, operation: Literal["log_prob_bound"]
) -> VAE: ...
def open_model(
    bundles: Path, reference: Reference, provider: Provider, operation: str
) -> AnyModel:
    """The same of a model that has an operation, which says of which kinds it may be.

    Raises:
        UserError: With the operations that it has.
    """
    model = open_any(bundles, reference, provider)
    if operation not in model.manifest.operations:
        raise _lacking(model, operation)
    return model


def open_flow(bundles: Path, reference: Reference, provider: Provider) -> Model:
    """The same of a flow, for expectations: of older bundles too, which do not list them.

    Raises:
        UserError: If it is of another kind.
    """
    model = open_any(bundles, reference, provider)
    if not isinstance(model, Model):
        raise _lacking(model, "expectation")
    return model


def _lacking(model: AnyModel, operation: str) -> UserError:
    manifest = model.manifest
    return UserError(
        f"expected a model with the operation {operation}, got {manifest.name}/"
        f"{manifest.version}, which has: {', '.join(sorted(manifest.operations))}"
    )
