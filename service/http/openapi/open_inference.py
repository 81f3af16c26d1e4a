"""The paths of the Open Inference Protocol in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from exported.manifest import Manifest
from service.http.oip import schemas
from service.http.openapi.parts import OF_A_BODY, Json, parameter, ref, responses

TAG = "open inference protocol"
MODELS: tuple[type[BaseModel], ...] = (
    schemas.IndexBody,
    schemas.IndexEntry,
    schemas.InferAnswer,
    schemas.InferBody,
    schemas.Live,
    schemas.LoadBody,
    schemas.Loaded,
    schemas.ModelConfig,
    schemas.ModelMetadata,
    schemas.ModelReady,
    schemas.Names,
    schemas.Ready,
    schemas.ServerMetadata,
    schemas.Statistics,
    schemas.Unloaded,
)
_SERVER: Mapping[str, tuple[str, type[BaseModel]]] = {
    "/v2": ("Metadata of the server", schemas.ServerMetadata),
    "/v2/health/live": ("Liveness", schemas.Live),
    "/v2/health/ready": ("Readiness of all models", schemas.Ready),
    "/v2/models": ("Names of all models", schemas.Names),
    "/v2/models/stats": ("Statistics of all models", schemas.Statistics),
}
_MODEL: Mapping[str, tuple[str, type[BaseModel]]] = {
    "": ("Metadata of a model", schemas.ModelMetadata),
    "/ready": ("Readiness of a model", schemas.ModelReady),
    "/config": ("Configuration of a model", schemas.ModelConfig),
    "/stats": ("Statistics of a model", schemas.Statistics),
}


def paths(manifests: Sequence[Manifest]) -> Json:
    """Every path; the example of an inference is one that a model answers.

    Args:
        manifests: Of the models that are served.
    """
    found: Json = {path: {"get": _operation(*what, [])} for path, what in _SERVER.items()}
    example = next(iter(manifests), None)
    name = parameter("model", "string", None if example is None else example.name)
    version = parameter("version", "integer", None if example is None else example.version)
    of_a_model = "/v2/models/{model}"
    for base, given in (
        (of_a_model, [name]),
        (of_a_model + "/versions/{version}", [name, version]),
    ):
        for end, what in _MODEL.items():
            found[base + end] = {"get": _operation(*what, given)}
        infer = _operation("Tensors to tensors", schemas.InferAnswer, given, 501, *OF_A_BODY)
        infer |= _body(schemas.InferBody, None if example is None else infer_example(example))
        found[base + "/infer"] = {"post": infer}
    found["/v2/repository/index"] = {"post": _index()}
    for action, answer in (("load", schemas.Loaded), ("unload", schemas.Unloaded)):
        change = _operation(f"{action.capitalize()} a model", answer, [name], 501, *OF_A_BODY)
        path = f"/v2/repository/models/{{model}}/{action}"
        found[path] = {"post": change | _body(schemas.LoadBody, None, required=False)}
    return found


def infer_example(manifest: Manifest) -> Json:
    """A body that a model answers: its most ordinary row."""

    def tensor(name: str, values: list[float]) -> Json:
        return {"name": name, "shape": [1, len(values)], "datatype": "FP64", "data": values}

    inputs = [tensor("x", [feature.median for feature in manifest.features])]
    if manifest.context_features:
        inputs.append(tensor("context", [f.median for f in manifest.context_features]))
    return {"inputs": inputs}


def _index() -> Json:
    listed = _operation("Every version of every model", schemas.IndexEntry, [], *OF_A_BODY)
    content = listed["responses"]["200"]["content"]["application/json"]
    content["schema"] = {"type": "array", "items": content["schema"]}
    return listed | _body(schemas.IndexBody, None, required=False)


def _operation(
    summary: str, answer: type[BaseModel], parameters: list[Json], *refused: int
) -> Json:
    content = {"application/json": {"schema": ref(answer)}}
    return {
        "summary": summary,
        "tags": [TAG],
        "parameters": parameters,
        "responses": responses(content, *refused),
    }


def _body(schema: type[BaseModel], example: Json | None, *, required: bool = True) -> Json:
    content: Json = {"schema": ref(schema)}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": required, "content": {"application/json": content}}}
