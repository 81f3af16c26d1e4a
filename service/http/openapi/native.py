"""The paths of the native API in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exported.manifest import Manifest
from service.examples import bodies
from service.http import expectation, media, schemas
from service.http.kinds import KINDS, OPERATIONS
from service.http.openapi import tables
from service.http.openapi.parts import OF_A_BODY, Json, downgraded, parameter, ref, responses

_SUMMARIES = {
    "log_prob": "Log-density of rows",
    "feature_log_prob": "Log-density of rows, and each feature's term given those before it",
    "score": "Score, p-value and decision for rows: by the log-density of a flow, the importance "
    "bound of a VAE, the error of an autoencoder",
    "scores": "Every score of rows that a flow has, each with its p-value",
    "encode": "Latents of rows",
    "decode": "Rows at latents",
    "sample": "Draw rows",
    "expectation": "Means, variances, quantiles and probabilities under the density",
    "log_prob_bound": "Lower bounds on the log-density of rows, of a VAE",
    "reconstruct": "Rows encoded and decoded, of a VAE or an autoencoder",
}


def paths(manifests: Sequence[Manifest]) -> Json:
    """Every path; an example is a request that the model beside it answers.

    Args:
        manifests: Of the models that are served.
    """
    name, version = _identity(next(iter(manifests), None))
    found: Json = {
        "/v1/models": _get("Every model", ref(schemas.CatalogueAnswer), []),
        "/v1/models/{model}": _get("The manifest of the version that answers", {}, [name]),
        "/v1/models/{model}/serve": _serve(name),
        "/v1/models/{model}/versions/{version}": _get("A manifest", {}, [name, version]),
        "/metrics": _get("Metrics in the Prometheus text format", None, []),
        "/healthz": _get("Liveness", {}, []),
    }
    for operation in OPERATIONS:
        known = next((m for m in manifests if operation in m.operations), None)
        name, version = _identity(known)
        found[f"/v1/models/{{model}}/{operation}"] = _post(operation, known, [name])
        found[f"/v1/models/{{model}}/versions/{{version}}/{operation}"] = _post(
            operation, known, [name, version]
        )
    return found


def _identity(example: Manifest | None) -> tuple[Json, Json]:
    """The parameters that name a model, and its version."""
    name, version = (None, None) if example is None else (example.name, example.version)
    return parameter("model", "string", name), parameter("version", "integer", version)


def _post(operation: str, known: Manifest | None, parameters: list[Json]) -> Json:
    """One operation; the model known to have it gives the examples."""
    example = {} if known is None else bodies(known)[operation]
    body: Json = {"schema": _any_of(operation, [kind.requests for kind in KINDS.values()])}
    content = {media.JSON: body | ({"example": example} if example else {})}
    answer: Json = {
        media.JSON: {"schema": _any_of(operation, [k.answers for k in KINDS.values()])}
    }
    if operation != expectation.NAME:
        content |= tables.bodies(known, example)
        answer |= tables.answers()
        parameters = parameters + _queries(operation)
    told = responses(answer, 406, *OF_A_BODY)
    if operation != expectation.NAME:
        told["200"]["headers"] = tables.headers()
    return {
        "post": {
            "summary": _SUMMARIES[operation],
            "tags": ["operations"],
            "parameters": parameters,
            # Rows are drawn without a body where the query says how many.
            "requestBody": {"required": operation != "sample", "content": content},
            "responses": told,
        }
    }


def _serve(name: Json) -> Json:
    content = {media.JSON: {"schema": ref(schemas.ServeBody), "example": {"version": "latest"}}}
    answer = {media.JSON: {"schema": ref(schemas.CatalogueEntry)}}
    return {
        "post": {
            "summary": "Choose the version that answers requests that name none",
            "tags": ["catalogue"],
            "parameters": [name],
            "requestBody": {"required": True, "content": content},
            "responses": responses(answer, 406, *OF_A_BODY),
        }
    }


def _queries(operation: str) -> list[Json]:
    beside = "Where the body is a table, or there is none; a JSON body has it as a field."
    return [
        {"name": name, "in": "query", "description": beside, "schema": downgraded(schema)}
        for name, schema in tables.settings(operation).items()
    ]


def _get(summary: str, schema: Json | None, parameters: list[Json]) -> Json:
    tags = ["catalogue" if parameters or "model" in summary else "service"]
    content = {"text/plain": {}} if schema is None else {"application/json": {"schema": schema}}
    return {
        "get": {
            "summary": summary,
            "tags": tags,
            "parameters": parameters,
            "responses": responses(content),
        }
    }


def _any_of(operation: str, tables: Sequence[Mapping[str, type]]) -> Json:
    """The schemas of an operation, of every kind of model that has it."""
    found = dict.fromkeys(table[operation] for table in tables if operation in table)
    refs = [ref(model) for model in found]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}
