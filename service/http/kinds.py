"""What bodies of each kind of model may hold and what is answered, by operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from service.http import flow_schemas, latent_schemas
from service.served_autoencoder import ServedAutoencoder
from service.served_flow import ServedFlow
from service.served_kinds import AnyServed
from service.served_vae import ServedVAE


@dataclass(frozen=True, slots=True)
class Kind:
    """The JSON of one kind of model.

    Attributes:
        requests: Schema of the body of each operation.
        answers: Schema of its answer.
        fields: Names of the fields that a body may have.
    """

    requests: Mapping[str, type[BaseModel]]
    answers: Mapping[str, type[BaseModel]]
    fields: Mapping[str, frozenset[str]]

    @classmethod
    def of(
        cls, requests: Mapping[str, type[BaseModel]], answers: Mapping[str, type[BaseModel]]
    ) -> Kind:
        """With the fields that the schemas have."""
        fields = {name: frozenset(body.model_fields) for name, body in requests.items()}
        return cls(requests, answers, fields)


KINDS: Mapping[type[AnyServed], Kind] = {
    ServedFlow: Kind.of(flow_schemas.REQUESTS, flow_schemas.ANSWERS),
    ServedVAE: Kind.of(latent_schemas.VAE_REQUESTS, latent_schemas.VAE_ANSWERS),
    ServedAutoencoder: Kind.of(
        latent_schemas.AUTOENCODER_REQUESTS, latent_schemas.AUTOENCODER_ANSWERS
    ),
}
# Every operation of any kind, in the order of the documentation.
OPERATIONS = tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.requests))
