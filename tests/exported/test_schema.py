import json
import math
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

import exported
from exported import arrays, bundle
from exported import document as document_module
from exported.artifact import MAX_VERSION
from exported.bundle import read_manifest
from exported.errors import BundleInvalidError
from exported.kinds import FlowManifest
from exported.manifest import MAX_FEATURES, MAX_GRAPHS
from exported.noise import base_uniforms
from exported.schema import manifest_schema

COMMITTED = Path(exported.__file__).parent / "manifest.schema.json"


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert COMMITTED.read_text() == manifest_schema(), (
        "run: python -m exported.schema > exported/manifest.schema.json"
    )


def test_the_format_text_states_the_limits_and_numbers_of_the_code() -> None:
    text = (COMMITTED.parent / "README.md").read_text()
    limits = {
        "`manifest.json`": document_module.MAX_MANIFEST_BYTES,
        "a listed file": bundle.MAX_FILE_BYTES,
        "all listed files together": bundle.MAX_BUNDLE_BYTES,
        "arrays of one `.npz`, inflated": arrays.MAX_ARCHIVE_BYTES,
    }
    for thing, limit in limits.items():
        written = f"{limit >> 30} GiB" if limit >= 2**30 else f"{limit >> 20} MiB"
        assert f"| {thing} | {written} |" in text
    assert f"| {MAX_FEATURES} each |" in text
    assert f"| graphs | {MAX_GRAPHS} |" in text
    assert f"from 1 to {MAX_VERSION} " in text
    assert f"begins with u = {base_uniforms(0, 0, 1, 1)[0, 0].item()!r}" in text.replace("\n", " ")


def test_the_format_text_names_every_field() -> None:
    text = (COMMITTED.parent / "README.md").read_text()
    schema = json.loads(manifest_schema())
    objects = [schema, *schema["$defs"].values()]
    fields = {field for item in objects for field in item.get("properties", {})}
    assert {field for field in fields if field not in text} == set()


def test_a_written_manifest_follows_the_schema(folder: Path) -> None:
    written = json.loads((folder / "manifest.json").read_text())
    jsonschema.Draft202012Validator(json.loads(manifest_schema())).validate(written)


def test_the_schema_refuses_what_it_can(document: dict) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(manifest_schema()))
    for key, value in {"licence": "free", "version": 0, "name": "A", "format_version": 2}.items():
        assert not validator.is_valid(document | {key: value}), key


def test_a_manifest_cannot_be_changed(manifest: FlowManifest) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        manifest.version = 4  # type: ignore[misc]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_manifest_cannot_be_made_with_a_number_that_json_has_not(
    document: dict, value: float
) -> None:
    document["held_out"]["log_likelihood"] = value
    with pytest.raises(ValidationError, match="finite"):
        FlowManifest.model_validate(document)


def test_an_operation_leads_to_its_graph(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.graph_of("sample").artifact.file == "decode.onnx"
    with pytest.raises(
        BundleInvalidError, match="no operation 'encode'; it has: log_prob, sample"
    ):
        manifest.graph_of("encode")


def test_the_files_are_all_that_lie_beside_the_manifest(folder: Path) -> None:
    listed = {entry.file for entry in read_manifest(folder).files()}
    assert {path.name for path in folder.iterdir()} == listed | {"manifest.json"}
