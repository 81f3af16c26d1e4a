"""Bundles that are whole and replay, and yet cannot be served."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exported.bundle import read_bundle, write_bundle
from exported.document import parse_manifest
from exported.errors import BundleInvalidError
from service.config import ServiceConfig
from service.core import Core
from service.kinds import load
from service.model import Model
from service.runtime import Runtime

Document = dict[str, Any]


def lacks_the_latent(document: Document) -> None:
    outputs = document["graphs"]["log_prob"]["outputs"]
    outputs[:] = [tensor for tensor in outputs if tensor["name"] != "z"]


def has_a_column_more(document: Document) -> None:
    document["features"].append(document["features"][0] | {"name": "extra"})


def claims_another_type(document: Document) -> None:
    document["graphs"]["log_prob"]["inputs"][0]["datatype"] = "FP64"


def has_context_that_no_graph_takes(document: Document) -> None:
    document["context_features"] = [document["features"][0] | {"name": "hour"}]


def takes_context_that_is_not_described(document: Document) -> None:
    tensor = {"name": "context", "datatype": "FP32", "shape": [-1, 2]}
    document["graphs"]["log_prob"]["inputs"].append(tensor)


def chooses_steps_in_one_graph_alone(document: Document) -> None:
    error = {"median": 0.0, "p999": 0.0, "max": 0.0}
    choice = {"steps": 8, "log_prob_error": error, "round_trip_error": error, "passes": 32}
    document["steps"] = {"default": 8, "offered": [choice]}
    document["graphs"]["decode"]["options"] = ["steps"]


CASES: dict[Callable[[Document], None], str] = {
    lacks_the_latent: r"expected graph 'log_prob' to map .* z \[-1, 3\], .*, got ",
    has_a_column_more: r"expected graph 'decode' to map z .* to x \[-1, 5\]",
    claims_another_type: "log_prob.onnx does not run as the manifest describes it",
    has_context_that_no_graph_takes: r"'decode' to map z \[-1, 3\], context \[-1, 1\] to .* got z",
    takes_context_that_is_not_described: r"x \[-1, 4\] to .* got x \[-1, 4\], context \[-1, 2\]",
    chooses_steps_in_one_graph_alone: "expected graph 'log_prob' to have the option steps",
}


def noise_for_each_row_alone(document: Document) -> None:
    document["graphs"]["log_weight"]["inputs"][1]["shape"] = [-1, 2]


def samples_of_a_number(document: Document) -> None:
    document["graphs"]["log_weight"]["outputs"][0]["shape"] = [-1, 7]


def lacks_the_scale(document: Document) -> None:
    outputs = document["graphs"]["posterior"]["outputs"]
    outputs[:] = [tensor for tensor in outputs if tensor["name"] != "scale"]


def observes_another_number(document: Document) -> None:
    document["graphs"]["draw"]["inputs"][1]["shape"] = [-1, 4]


def has_a_depth_only_where_it_weighs(document: Document) -> None:
    for name in ("posterior", "reconstruct"):
        document["graphs"][name]["options"] = []


def has_a_depth_where_it_draws(document: Document) -> None:
    document["graphs"]["draw"]["options"] = ["depth"]


def calls_a_bound_a_density(document: Document) -> None:
    document["operations"]["log_prob"] = "log_weight"


def scores_by_another_graph(document: Document) -> None:
    document["operations"]["score"] = "encode"


def lacks_the_error(document: Document) -> None:
    outputs = document["graphs"]["reconstruct"]["outputs"]
    outputs[:] = [tensor for tensor in outputs if tensor["name"] != "error"]


def replays_something_else(document: Document) -> None:
    document["graphs"]["log_weight"]["outputs"][0]["tolerance"] = {"absolute": 0, "relative": 0}


LATENT: dict[Callable[[Document], None], tuple[str, str]] = {
    noise_for_each_row_alone: (
        "vae",
        r"x \[-1, 4\], noise \[-1, -1, 2\] to .* noise \[-1, 2\] to",
    ),
    samples_of_a_number: ("vae", r"to log_weight \[-1, -1\], got .* to log_weight \[-1, 7\]"),
    lacks_the_scale: ("vae", r"expected graph 'posterior' to map .* scale \[-1, 2\]"),
    observes_another_number: ("vae", r"'draw' to map .* observation_noise \[-1, 3\] to"),
    has_a_depth_only_where_it_weighs: ("vae", "'posterior' to have the option depth"),
    has_a_depth_where_it_draws: ("vae", "expected graph 'draw' to have no option"),
    calls_a_bound_a_density: ("vae", "operation 'log_prob' on graph 'log_weight' is not known"),
    replays_something_else: ("vae", "golden rows do not replay: log_weight.log_weight is off"),
    scores_by_another_graph: ("auto", "operation 'score' on graph 'encode' is not known"),
    lacks_the_error: ("auto", r"'reconstruct' to map .* error \[-1\], got"),
}


def publish(root: Path, change: Callable[[Document], None], name: str = "gauss") -> Path:
    good = read_bundle(root / name / "1")
    document = json.loads(good.manifest.model_dump_json()) | {"name": "odd"}
    change(document)
    manifest = parse_manifest(json.dumps(document).encode())
    return write_bundle(root, manifest, good.contents)


@pytest.mark.parametrize("change", LATENT, ids=lambda change: change.__name__)
def test_a_model_with_latents_is_refused_with_the_reason(
    root: Path, tmp_path: Path, change: Callable[[Document], None]
) -> None:
    name, message = LATENT[change]
    (tmp_path / name).symlink_to(root / name)
    with pytest.raises(BundleInvalidError, match=message):
        load(publish(tmp_path, change, name), Runtime.choose("cpu", sessions=1))


@pytest.mark.parametrize("change", CASES, ids=lambda change: change.__name__)
def test_it_is_refused_with_the_reason(
    root: Path, tmp_path: Path, change: Callable[[Document], None]
) -> None:
    (tmp_path / "gauss").symlink_to(root / "gauss")
    with pytest.raises(BundleInvalidError, match=CASES[change]):
        Model.load(publish(tmp_path, change), Runtime.choose("cpu", sessions=1))


def test_the_others_serve(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "gauss").symlink_to(root / "gauss")
    publish(tmp_path, claims_another_type)
    core = Core(ServiceConfig(bundles=tmp_path, provider="cpu", sessions=1))
    with caplog.at_level(logging.ERROR):
        core.load()
    assert list(core.catalogue.models) == ["gauss"]
    assert "refused odd/1" in caplog.text
