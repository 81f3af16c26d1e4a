"""What each kind of model takes, answers and does, by operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from service.http import flow_operations, flow_schemas, latent_operations, latent_schemas
from service.served_autoencoder import ServedAutoencoder
from service.served_flow import ServedFlow
from service.served_kinds import AnyServed
from service.served_vae import ServedVAE


@dataclass(frozen=True, slots=True)
class Kind:
    """The operations of one kind of model.

    Attributes:
        requests: Schema of the body of each operation.
        answers: Schema of its answer.
        handlers: What makes the one of the other.
        fields: Names of the fields that a body may have.
        drawing: Operations of which a small body may ask for much.
    """

    requests: Mapping[str, type[BaseModel]]
    answers: Mapping[str, type[BaseModel]]
    handlers: Mapping[str, Any]
    fields: Mapping[str, frozenset[str]]
    drawing: frozenset[str]

    @classmethod
    def of(
        cls,
        requests: Mapping[str, type[BaseModel]],
        answers: Mapping[str, type[BaseModel]],
        handlers: Mapping[str, Any],
        drawing: tuple[str, ...] = (),
    ) -> Kind:
        """With the fields that the schemas have."""
        fields = {name: frozenset(body.model_fields) for name, body in requests.items()}
        return cls(requests, answers, handlers, fields, frozenset(drawing))


KINDS: Mapping[type[AnyServed], Kind] = {
    ServedFlow: Kind.of(
        flow_schemas.REQUESTS,
        flow_schemas.ANSWERS,
        flow_operations.HANDLERS,
        drawing=("sample", "expectation"),
    ),
    ServedVAE: Kind.of(
        latent_schemas.VAE_REQUESTS,
        latent_schemas.VAE_ANSWERS,
        latent_operations.VAE_HANDLERS,
        drawing=("sample", "log_prob_bound", "score"),
    ),
    ServedAutoencoder: Kind.of(
        latent_schemas.AUTOENCODER_REQUESTS,
        latent_schemas.AUTOENCODER_ANSWERS,
        latent_operations.AUTOENCODER_HANDLERS,
    ),
}
# Every operation of any kind, in the order of the documentation.
OPERATIONS = tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.requests))
