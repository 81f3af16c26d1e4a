"""The OpenAPI document, built once from the schemas.

Version 3.0.3, because the page that shows it (swagger-ui 4) does not read 3.1.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from exported.manifest import Manifest
from service.examples import bodies
from service.http import schemas

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"
_SUMMARIES = {
    "log_prob": "Log-density of rows",
    "feature_log_prob": "Log-density of rows, and each feature's term given those before it",
    "score": "Log-density, p-value and decision for rows",
    "encode": "Latents of rows",
    "decode": "Rows at latents",
    "sample": "Draw rows",
    "expectation": "Means, variances, quantiles and probabilities under the density",
}


def document(title_version: str, example: Manifest | None) -> Json:
    """The whole document.

    Args:
        title_version: Version of the service.
        example: A model that is served; the examples are requests that it answers.
    """
    answers = [schemas.CatalogueAnswer, schemas.ErrorAnswer, *schemas.ANSWERS.values()]
    models = [(m, "validation") for m in (*set(schemas.REQUESTS.values()), *answers)]
    _, definitions = models_json_schema(models, ref_template=_REF)  # type: ignore[arg-type]
    return {
        "openapi": "3.0.3",
        "info": {"title": "logdet", "version": title_version, "description": _DESCRIPTION},
        "tags": [{"name": tag} for tag in ("operations", "catalogue", "service")],
        "paths": _paths(example),
        "components": {"schemas": _downgraded(definitions["$defs"])},
    }


_DESCRIPTION = (
    "Exact log-densities of rows, in nats and in the units of the training table. "
    "Numbers that are not finite are null, and the row's status says why."
)


def _paths(example: Manifest | None) -> Json:
    name = _parameter("model", "string", example.name if example else None)
    version = _parameter("version", "integer", example.version if example else None)
    examples = bodies(example) if example else {}
    paths: Json = {
        "/v1/models": _get("Every model", _ref(schemas.CatalogueAnswer), []),
        "/v1/models/{model}": _get("The manifest of the newest version", {}, [name]),
        "/v1/models/{model}/versions/{version}": _get("A manifest", {}, [name, version]),
        "/metrics": _get("Metrics in the Prometheus text format", None, []),
        "/healthz": _get("Liveness", {}, []),
    }
    for operation in schemas.REQUESTS:
        paths[f"/v1/models/{{model}}/{operation}"] = _post(operation, examples, [name])
        paths[f"/v1/models/{{model}}/versions/{{version}}/{operation}"] = _post(
            operation, examples, [name, version]
        )
    return paths


def _post(operation: str, examples: dict[str, Json], parameters: list[Json]) -> Json:
    body: Json = {"schema": _ref(schemas.REQUESTS[operation])}
    if operation in examples:
        body["example"] = examples[operation]
    return {
        "post": {
            "summary": _SUMMARIES[operation],
            "tags": ["operations"],
            "parameters": parameters,
            "requestBody": {"required": True, "content": {"application/json": body}},
            "responses": _responses(_ref(schemas.ANSWERS[operation])),
        }
    }


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
