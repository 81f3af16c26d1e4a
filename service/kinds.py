"""A folder becomes a model of the kind that its manifest says."""

from __future__ import annotations

from pathlib import Path

from exported.bundle import read_bundle
from exported.kinds import AutoencoderManifest, FlowManifest, VAEManifest
from service.autoencoder import Autoencoder
from service.model import Model
from service.runtime import Runtime
from service.vae import VAE

AnyModel = Model | VAE | Autoencoder


def load(folder: Path, runtime: Runtime) -> AnyModel:
    """Read, verify and warm the bundle in a folder.

    Raises:
        BundleError: If it is missing, not as its manifest says, or does not replay.
    """
    bundle = read_bundle(folder)
    match bundle.manifest:
        case FlowManifest() as manifest:
            return Model.of(manifest, bundle, runtime)
        case VAEManifest() as manifest:
            return VAE.of(manifest, bundle, runtime)
        case AutoencoderManifest() as manifest:
            return Autoencoder.of(manifest, bundle, runtime)
