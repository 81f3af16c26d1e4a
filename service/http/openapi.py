"""The OpenAPI document, built once from the schemas.

Version 3.0.3, because the page that shows it (swagger-ui 4) does not read 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from exported.manifest import Manifest
from service.examples import bodies
from service.http import expectation, media, openapi_tables, schemas
from service.http.kinds import KINDS, OPERATIONS

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"
_SUMMARIES = {
    "log_prob": "Log-density of rows",
    "feature_log_prob": "Log-density of rows, and each feature's term given those before it",
    "score": "Score, p-value and decision for rows: by the log-density of a flow, the importance "
    "bound of a VAE, the error of an autoencoder",
    "encode": "Latents of rows",
    "decode": "Rows at latents",
    "sample": "Draw rows",
    "expectation": "Means, variances, quantiles and probabilities under the density",
    "log_prob_bound": "Lower bounds on the log-density of rows, of a VAE",
    "reconstruct": "Rows encoded and decoded, of a VAE or an autoencoder",
}


def document(title_version: str, manifests: Sequence[Manifest]) -> Json:
    """The whole document.

    Args:
        title_version: Version of the service.
        manifests: Of the models that are served; the examples are requests that they answer.
    """
    models = [(schemas.CatalogueAnswer, "validation"), (schemas.ErrorAnswer, "validation")]
    for kind in KINDS.values():
        described = dict.fromkeys((*kind.requests.values(), *kind.answers.values()))
        models.extend((model, "validation") for model in described)
    _, definitions = models_json_schema(models, ref_template=_REF)  # type: ignore[arg-type]
    return {
        "openapi": "3.0.3",
        "info": {"title": "logdet", "version": title_version, "description": _DESCRIPTION},
        "tags": [{"name": tag} for tag in ("operations", "catalogue", "service")],
        "paths": _paths(manifests),
        "components": {"schemas": _downgraded(definitions["$defs"])},
    }


_DESCRIPTION = (
    "Log-densities of rows, in nats and in the units of the training table: exact ones of flows, "
    "lower bounds of VAEs; errors of reconstruction of autoencoders. What a body may hold and "
    "what is answered depends on the model, whose density the catalogue tells. "
    "Numbers that are not finite are null, and the row's status says why."
)


_REFUSED_TYPES = {
    "406": {"description": "No media type that the client accepts is answered here"},
    "415": {"description": "The body is of a media type or an encoding that is not read here"},
}


def _paths(manifests: Sequence[Manifest]) -> Json:
    name, version = _identity(next(iter(manifests), None))
    paths: Json = {
        "/v1/models": _get("Every model", _ref(schemas.CatalogueAnswer), []),
        "/v1/models/{model}": _get("The manifest of the newest version", {}, [name]),
        "/v1/models/{model}/versions/{version}": _get("A manifest", {}, [name, version]),
        "/metrics": _get("Metrics in the Prometheus text format", None, []),
        "/healthz": _get("Liveness", {}, []),
    }
    for operation in OPERATIONS:
        known = next((m for m in manifests if operation in m.operations), None)
        name, version = _identity(known)
        paths[f"/v1/models/{{model}}/{operation}"] = _post(operation, known, [name])
        paths[f"/v1/models/{{model}}/versions/{{version}}/{operation}"] = _post(
            operation, known, [name, version]
        )
    return paths


def _identity(example: Manifest | None) -> tuple[Json, Json]:
    """The parameters that name a model, and its version."""
    name, version = (None, None) if example is None else (example.name, example.version)
    return _parameter("model", "string", name), _parameter("version", "integer", version)


def _post(operation: str, known: Manifest | None, parameters: list[Json]) -> Json:
    """One operation; the model known to have it gives the examples."""
    example = {} if known is None else bodies(known)[operation]
    body: Json = {"schema": _any_of(operation, [kind.requests for kind in KINDS.values()])}
    content = {media.JSON: body | ({"example": example} if example else {})}
    responses = _responses(_any_of(operation, [kind.answers for kind in KINDS.values()]))
    if operation != expectation.NAME:
        content |= openapi_tables.bodies(known, example)
        responses["200"]["content"] |= openapi_tables.answers()
        responses["200"]["headers"] = openapi_tables.headers()
        parameters = parameters + _queries(operation)
    refused = {status: responses["default"] | why for status, why in _REFUSED_TYPES.items()}
    return {
        "post": {
            "summary": _SUMMARIES[operation],
            "tags": ["operations"],
            "parameters": parameters,
            # Rows are drawn without a body where the query says how many.
            "requestBody": {"required": operation != "sample", "content": content},
            "responses": responses | refused,
        }
    }


def _queries(operation: str) -> list[Json]:
    beside = "Where the body is a table, or there is none; a JSON body has it as a field."
    return [
        {"name": name, "in": "query", "description": beside, "schema": _downgraded(schema)}
        for name, schema in openapi_tables.settings(operation).items()
    ]


def _get(summary: str, schema: Json | None, parameters: list[Json]) -> Json:
    tags = ["catalogue" if parameters or "model" in summary else "service"]
    responses = _responses(schema)
    return {
        "get": {
            "summary": summary,
            "tags": tags,
            "parameters": parameters,
            "responses": responses,
        }
    }


def _responses(schema: Json | None) -> Json:
    content = {"text/plain": {}} if schema is None else {"application/json": {"schema": schema}}
    refused = {"application/json": {"schema": _ref(schemas.ErrorAnswer)}}
    return {
        "200": {"description": "The answer", "content": content},
        "default": {"description": "A refusal", "content": refused},
    }


def _parameter(name: str, kind: str, example: str | int | None) -> Json:
    schema = {"type": kind} | ({} if example is None else {"example": example})
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _any_of(operation: str, tables: Sequence[Mapping[str, type]]) -> Json:
    """The schemas of an operation, of every kind of model that has it."""
    found = dict.fromkeys(table[operation] for table in tables if operation in table)
    refs = [_ref(model) for model in found]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def _ref(model: type) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _downgraded(node: Any) -> Any:  # noqa: ANN401 - any JSON value
    """JSON schema as OpenAPI 3.0 writes it: nullable in place of a null type, and so on."""
    if isinstance(node, list):
        return [_downgraded(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _downgraded(value) for key, value in node.items()}
    if {"type": "null"} in node.get("anyOf", []):
        rest = [option for option in node.pop("anyOf") if option != {"type": "null"}]
        node |= (rest[0] if len(rest) == 1 else {"anyOf": rest}) | {"nullable": True}
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if flag in node and not isinstance(node[flag], bool):
            node |= {bound: node[flag], flag: True}
    return node
