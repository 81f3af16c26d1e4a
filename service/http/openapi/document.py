"""The whole document.

Version 3.0.3, because the page that shows it (swagger-ui 4) does not read 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic.json_schema import models_json_schema

from exported.manifest import Manifest
from service.http import drift_schemas, schemas
from service.http.kinds import KINDS
from service.http.openapi import native, open_inference
from service.http.openapi.guarded import guarded as with_tokens
from service.http.openapi.parts import REF, Json, downgraded

_DESCRIPTION = (
    "Log-densities of rows, in nats and in the units of the training table: exact ones of flows, "
    "lower bounds of VAEs; errors of reconstruction of autoencoders. What a body may hold and "
    "what is answered depends on the model, whose density the catalogue tells. "
    "Numbers that are not finite are null, and the row's status says why."
)
_TAGS = ("operations", "catalogue", "service", open_inference.TAG)


def document(title_version: str, manifests: Sequence[Manifest], *, guarded: bool = False) -> Json:
    """The whole document.

    Args:
        title_version: Version of the service.
        manifests: Of the models that are served; the examples are requests that they answer.
        guarded: Whether requests must show a token.
    """
    native_models = (
        schemas.CatalogueAnswer,
        schemas.ServeBody,
        schemas.ErrorAnswer,
        drift_schemas.DriftAnswer,
    )
    described = [*native_models, *open_inference.MODELS]
    for kind in KINDS.values():
        described.extend((*kind.requests.values(), *kind.answers.values()))
    models = [(model, "validation") for model in dict.fromkeys(described)]
    _, definitions = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]
    told: Json = {
        "openapi": "3.0.3",
        "info": {"title": "logdet", "version": title_version, "description": _DESCRIPTION},
        "tags": [{"name": tag} for tag in _TAGS],
        "paths": native.paths(manifests) | open_inference.paths(manifests),
        "components": {"schemas": downgraded(definitions["$defs"])},
    }
    return with_tokens(told) if guarded else told
