"""What a person who started the service is told: where it is and one request to try."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from exported.manifest import Manifest
from service.config import ServiceConfig
from service.examples import curl

_EVERY_INTERFACE = ("0.0.0.0", "::")  # noqa: S104 - compared with # nosec B104


def announce(config: ServiceConfig, manifests: Sequence[Manifest], *notes: str) -> None:
    """Print where the service is, what it serves, one short command that asks it, and any notes.

    Args:
        config: With the ports that are really bound.
        manifests: Of every model, at least one.
        notes: Further lines.
    """
    url = address(config)
    shortest = min(manifests, key=lambda manifest: len(manifest.features))
    listed = ", ".join(f"{manifest.name}/{manifest.version}" for manifest in manifests)
    lines = (
        f"logdet is serving on {url} (documentation at {url}/docs)",
        *_of_grpc(config),
        *notes,
        f"models: {listed}",
        "try:",
        f"  {curl(shortest, url, with_token=config.tokens_file is not None)}",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def address(config: ServiceConfig) -> str:
    """The service's URL, as this machine can reach it."""
    scheme = "http" if config.tls_cert is None else "https"
    return f"{scheme}://{_reached(config.host, config.port)}"


def _of_grpc(config: ServiceConfig) -> list[str]:
    if config.grpc_port is not None:
        return [f"gRPC on {_reached(config.host, config.grpc_port)}"]
    if config.grpc:
        return ["without gRPC: the next port is not to be had; --grpc-port chooses another"]
    return []


def _reached(host: str, port: int) -> str:
    name = "127.0.0.1" if host in _EVERY_INTERFACE else host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
