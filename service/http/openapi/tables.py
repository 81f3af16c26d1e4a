"""Tables in the OpenAPI document: media types, and settings in the query beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from exported.manifest import Manifest
from service.http import media
from service.http.kinds import KINDS
from service.http.tables.columns import HEADER

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_BINARY: Json = {"type": "string", "format": "binary"}
_NOT_SETTINGS = ("rows", "z", "context")
_LINES = (
    "One JSON object a line, sent while the work goes on: first what holds for all rows, then "
    "each row, last the number of rows, or the error that ends them."
)


def bodies(manifest: Manifest | None, example: Mapping[str, Any]) -> Json:
    """What a body may be beside JSON, by media type.

    Args:
        manifest: Of a model that has the operation, if one is served.
        example: A JSON body that it answers.
    """
    text = _TEXT | {"description": "A header row of column names, in any order, and the rows."}
    table: Json = {"schema": text}
    if manifest is not None and (lines := _csv(manifest, example)):
        table["example"] = lines
    return {media.CSV: table, media.ARROW: {"schema": _BINARY}}


def answers() -> Json:
    """What an answer may be beside JSON, by media type."""
    return {
        media.CSV: {"schema": _TEXT},
        media.ARROW: {"schema": _BINARY},
        media.NDJSON: {"schema": _TEXT | {"description": _LINES}},
    }


def headers() -> Json:
    """Of an answer."""
    told = "Of a table: what holds for all rows, as JSON."
    return {HEADER: {"description": told, "schema": _TEXT}}


def settings(operation: str) -> dict[str, Json]:
    """Schemas of the settings that the query may have, by name."""
    found: dict[str, Json] = {}
    for kind in KINDS.values():
        if operation in kind.requests:
            found = kind.requests[operation].model_json_schema()["properties"] | found
    return {name: _given(schema) for name, schema in found.items() if name not in _NOT_SETTINGS}


def _given(schema: Json) -> Json:
    """Of a setting that is there: no null, and no default that a form would fill in."""
    options = schema.get("anyOf", [schema])
    given = [option for option in options if option["type"] != "null"]
    value = given[0] if len(given) == 1 else {"anyOf": given}
    told = {"description": schema["description"]} if "description" in schema else {}
    return {k: v for k, v in value.items() if k not in ("default", "title")} | told


def _csv(manifest: Manifest, example: Mapping[str, Any]) -> str:
    """The rows of a JSON body as CSV; nothing for one without rows."""
    names = {
        "rows": [feature.name for feature in manifest.features],
        "z": [f"z{i}" for i in range(manifest.latent_features)],
        "context": [feature.name for feature in manifest.context_features],
    }
    given = [field for field in names if field in example]
    lines = io.StringIO()
    if given:
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow([name for field in given for name in names[field]])
        rows.writerow([value for field in given for value in example[field][0]])
    return lines.getvalue()
