"""What the paths of the OpenAPI document are made of."""

from __future__ import annotations

from typing import Any

from service.http.schemas import ErrorAnswer

Json = dict[str, Any]
REF = "#/components/schemas/{model}"
_WHY = {
    400: "Something is not as expected; the sentence says what",
    401: "No token, or one that is not known",
    404: "No such model or version",
    406: "No media type that the client accepts is answered here",
    413: "More bytes or rows than one request may have",
    415: "The body is of a media type or an encoding that is not read here",
    429: "More requests a second than the token may send; again a little later",
    500: "The service failed; its log says why",
    501: "An extension of the protocol that is not here, or is off",
    503: "The service is starting, stopping or full; again after a while",
    504: "No answer within the time that the request or the service allows",
}
# Any request may be refused with these.
ALWAYS = (400, 404, 500, 503, 504)
OF_A_BODY = (413, 415)
OF_A_TOKEN = (401, 429)


def ref(model: type) -> Json:
    """A schema by its model."""
    return {"$ref": REF.format(model=model.__name__)}


def responses(content: Json, *refused: int) -> Json:
    """Every answer of an operation.

    Args:
        content: Of the good one, by media type.
        refused: Statuses beside those of any request.
    """
    good = {"200": {"description": "The answer", "content": content}}
    return good | refusals(*ALWAYS, *refused)


def refusals(*statuses: int) -> Json:
    """Answers to what is refused, in ascending order."""
    content = {"application/json": {"schema": ref(ErrorAnswer)}}
    return {
        str(status): {"description": _WHY[status], "content": content}
        for status in sorted(statuses)
    }


def parameter(name: str, kind: str, example: str | int | None) -> Json:
    """A part of the path."""
    schema = {"type": kind} | ({} if example is None else {"example": example})
    return {"name": name, "in": "path", "required": True, "schema": schema}


def downgraded(node: Any) -> Any:  # noqa: ANN401 - any JSON value
    """JSON schema as OpenAPI 3.0 writes it: nullable in place of a null type, and so on."""
    if isinstance(node, list):
        return [downgraded(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: downgraded(value) for key, value in node.items()}
    if {"type": "null"} in node.get("anyOf", []):
        rest = [option for option in node.pop("anyOf") if option != {"type": "null"}]
        node |= (rest[0] if len(rest) == 1 else {"anyOf": rest}) | {"nullable": True}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if flag in node and not isinstance(node[flag], bool):
            node |= {bound: node[flag], flag: True}
    return node
