"""Manifests of VAEs and autoencoders: what they may say, and how their bundles are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from exported.arrays import write_arrays
from exported.bounds import MAX_DEPTH, MAX_DEPTH_CHOICES, MAX_SAMPLES
from exported.bundle import Bundle, describe_file, read_bundle, write_bundle
from exported.document import dump_manifest, parse_manifest
from exported.draws import ROWS_OF_NOISE
from exported.errors import BundleInvalidError
from exported.golden import Arrays, pack, replay
from exported.kinds import AutoencoderManifest, FlowManifest, VAEManifest, expect_flow
from exported.schema import manifest_schema
from tests.exported.latent import (
    Document,
    autoencoder_document,
    depth_choice,
    output,
    tensor,
    vae_document,
)

Tamper = Callable[[Document], object]


def parse(document: Document) -> FlowManifest | VAEManifest | AutoencoderManifest:
    return parse_manifest(json.dumps(document).encode())


@pytest.fixture
def vae(document: Document) -> Document:
    return vae_document(document)


@pytest.fixture
def autoencoder(document: Document) -> Document:
    return autoencoder_document(document)


def test_the_density_says_of_which_kind_a_manifest_is(
    document: Document, vae: Document, autoencoder: Document
) -> None:
    assert isinstance(parse(document), FlowManifest)
    assert isinstance(parse(document | {"density": "estimate"}), FlowManifest)
    assert isinstance(parse(vae), VAEManifest)
    assert isinstance(parse(autoencoder), AutoencoderManifest)


def test_what_is_written_is_read_again_and_follows_the_schema(
    vae: Document, autoencoder: Document
) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(manifest_schema()))
    for document in (vae, autoencoder):
        manifest = parse(document)
        written = dump_manifest(manifest)
        assert parse_manifest(written) == manifest
        validator.validate(json.loads(written))
        assert not validator.is_valid(json.loads(written) | {"density": "exact"})


def test_options_are_at_the_default_depth(vae: Document) -> None:
    manifest = parse(vae)
    assert manifest.options("log_weight") == {"depth": 2}
    assert manifest.options("decode") == {}
    vae["depth"] = None
    vae["graphs"]["log_weight"]["options"] = []
    assert parse(vae).options("log_weight") == {}


def test_the_modelled_features_are_those_that_vary(vae: Document) -> None:
    vae["features"][0] |= {"role": "constant", "support": [1.0, 1.0]}
    vae["observation"] = {
        "distribution": "student_t",
        "draws_per_row": 2,
        "degrees_of_freedom": [4.0],
    }
    manifest = parse(vae)
    assert isinstance(manifest, VAEManifest)
    assert manifest.modelled == 1


def test_only_a_flow_is_a_flow(manifest: FlowManifest, vae: Document) -> None:
    assert expect_flow(manifest) is manifest
    with pytest.raises(BundleInvalidError, match=r"a flow, got example/3 of .* 'lower_bound'"):
        expect_flow(parse(vae))


REFUSED_VAE: dict[str, tuple[Tamper, str]] = {
    "a kind that is not known": (lambda m: m.update(density="guess"), "'guess'"),
    "no density": (lambda m: m.pop("density"), "discriminator 'density'"),
    "a field of a flow": (lambda m: m.update(density_tolerance=0.0), "tolerance: Extra inputs"),
    "steps": (lambda m: m.update(steps=None), "steps: Extra inputs"),
    "no scoring": (lambda m: m.pop("scoring"), "scoring: Field required"),
    "no base": (lambda m: m.pop("base"), "base: Field required"),
    "another base": (lambda m: m["base"].update(distribution="uniform"), "standard_normal"),
    "a base of another size": (
        lambda m: m["base"].update(draws_per_row=3),
        "expected a base of 2 latent features, got 3",
    ),
    "an observation of another size": (
        lambda m: m["observation"].update(draws_per_row=5),
        "expected an observation of 2 modelled features, got 5",
    ),
    "a mixture as observation": (
        lambda m: m["observation"].update(distribution="gaussian_mixture"),
        "gaussian_mixture",
    ),
    "another likelihood": (lambda m: m.update(likelihood="poisson"), "likelihood"),
    "context": (lambda m: m.update(context_features=[m["features"][0]]), "context_features"),
    "depth without a graph": (
        lambda m: m["graphs"]["log_weight"].pop("options"),
        "depth exactly where a graph has the option depth",
    ),
    "a graph without depth": (
        lambda m: m.pop("depth"),
        "depth exactly where a graph has the option depth",
    ),
    "steps as option": (
        lambda m: m["graphs"]["log_weight"].update(options=["steps"]),
        "exactly where a graph has the option",
    ),
    "a default not on offer": (lambda m: m["depth"].update(default=1), "with 1 among them"),
    "descending": (lambda m: m["depth"]["offered"].reverse(), r"ascending depths .* \[2, 0\]"),
    "none on offer": (lambda m: m["depth"].update(offered=[]), "at least 1 item"),
    "too many on offer": (
        lambda m: m["depth"].update(offered=[depth_choice(n) for n in range(17)]),
        "at most 16 items",
    ),
    "less than no depth": (
        lambda m: m["depth"]["offered"][0].update(depth=-1),
        "greater than or equal to 0",
    ),
    "too deep": (
        lambda m: m["depth"]["offered"][1].update(depth=1025),
        "less than or equal to 1024",
    ),
    "a depth that costs nothing": (
        lambda m: m["depth"]["offered"][0].update(milliseconds=0.0),
        "milliseconds: Input should be greater than 0",
    ),
    "no samples": (lambda m: m["scoring"].update(samples=0), "greater than or equal to 1"),
    "too many samples": (lambda m: m["scoring"].update(samples=100_001), "or equal to 100000"),
    "a negative seed": (lambda m: m["scoring"].update(seed=-1), "greater than or equal to 0"),
    "a seed too large": (lambda m: m["scoring"].update(seed=2**63), "less than or equal to"),
    "samples in another graph": (
        lambda m: m["graphs"]["decode"].update(inputs=[tensor("z", -1, 2)]),
        "tensor 'z' of graph 'decode' has an axis of samples",
    ),
    "a third free axis": (
        lambda m: m["graphs"]["log_weight"].update(inputs=[tensor("noise", -1, -1)]),
        "needs a shape of -1 and sizes",
    ),
    "a tolerance for each sample": (
        lambda m: m["graphs"]["log_weight"]["outputs"][0]["tolerance"].update(absolute=[1.0]),
        "'log_weight' needs a number as tolerance, got 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED_VAE)
def test_a_vae_that_makes_no_sense_is_refused(name: str, vae: Document) -> None:
    tamper, message = REFUSED_VAE[name]
    tamper(vae)
    with pytest.raises(BundleInvalidError, match=message):
        parse(vae)


REFUSED_AUTOENCODER: dict[str, tuple[Tamper, str]] = {
    "a base": (
        lambda m: m.update(base={"distribution": "standard_normal", "draws_per_row": 2}),
        "base: Extra inputs",
    ),
    "depth": (
        lambda m: m["graphs"]["encode"].update(options=["depth"]),
        "depth exactly where a graph has the option depth",
    ),
    "a negative error": (lambda m: m["held_out"].update(error=-1.0), r"held_out\.error"),
    "no rows": (lambda m: m["held_out"].update(rows=0), r"held_out\.rows"),
}


@pytest.mark.parametrize("name", REFUSED_AUTOENCODER)
def test_an_autoencoder_that_makes_no_sense_is_refused(name: str, autoencoder: Document) -> None:
    tamper, message = REFUSED_AUTOENCODER[name]
    tamper(autoencoder)
    with pytest.raises(BundleInvalidError, match=message):
        parse(autoencoder)


def golden_of_a_vae() -> dict[str, np.ndarray]:
    x = np.array([[0.5, 1.0], [2.0, 3.0]])
    noise = np.zeros((2, 5, 2))
    golden = pack("log_weight", {"x": x, "noise": noise}, {"log_weight": np.ones((2, 5))})
    return golden | pack("decode", {"z": x}, {"x": x})


def written(tmp_path: Path, vae: Document, contents: dict[str, bytes]) -> Path:
    """A VAE with calibration scores under their own name."""
    contents = contents | {
        "calibration.npz": write_arrays({"score": np.linspace(-9.0, -1.0, 99)}),
        "golden.npz": write_arrays(golden_of_a_vae()),
    }
    vae["golden"] = describe_file("golden.npz", contents["golden.npz"]).model_dump()
    scores = describe_file("calibration.npz", contents["calibration.npz"])
    vae["calibration"]["artifact"] = scores.model_dump()
    return write_bundle(tmp_path / "vaes", parse(vae), contents)


def test_a_bundle_of_a_vae_is_read_with_its_scores(
    tmp_path: Path, vae: Document, contents: dict[str, bytes]
) -> None:
    bundle = read_bundle(written(tmp_path, vae, contents))
    assert len(bundle.calibration().scores) == 99


@pytest.mark.parametrize("file", ["golden.npz", "calibration.npz", "log_prob.onnx"])
def test_a_changed_byte_of_a_vae_is_refused(
    tmp_path: Path, vae: Document, contents: dict[str, bytes], file: str
) -> None:
    folder = written(tmp_path, vae, contents)
    content = bytearray((folder / file).read_bytes())
    content[-1] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(BundleInvalidError, match=f"{file} is not the file .* sha256"):
        read_bundle(folder)


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
def test_only_a_flow_has_scores_beside_the_first(
    kind: str, request: pytest.FixtureRequest
) -> None:
    document = request.getfixturevalue(kind)
    document["calibration"]["scores"] = {"latent_norm": {}}
    with pytest.raises(BundleInvalidError, match="only a flow has scores beside the first"):
        parse(document)


def test_scores_of_a_vae_are_not_called_log_prob(
    vae: Document, contents: dict[str, bytes]
) -> None:
    with pytest.raises(BundleInvalidError, match="has no array 'score'"):
        Bundle(parse(vae), contents).calibration()


@pytest.mark.parametrize("off", [0.0, 1.0])
def test_golden_rows_have_noise_of_samples(
    tmp_path: Path, vae: Document, contents: dict[str, bytes], off: float
) -> None:
    bundle = read_bundle(written(tmp_path, vae, contents))
    golden = bundle.golden()

    def run(graph: str, inputs: Arrays) -> Arrays:
        if graph == "decode":
            return {"x": golden["decode.out.x"]}
        assert inputs["noise"].shape == (2, 5, 2)
        assert int(inputs["depth"]) == 2
        answer = np.ones((2, 5))
        answer[1, 3] += off
        return {"log_weight": answer}

    if off:
        with pytest.raises(BundleInvalidError, match=r"log_weight\.log_weight is off by 1"):
            replay(bundle.manifest, golden, run)
    else:
        replay(bundle.manifest, golden, run)


def test_the_format_text_states_the_limits_of_bounds() -> None:
    text = (Path(__file__).parents[2] / "exported" / "README.md").read_text()
    assert f"| {MAX_DEPTH}; {MAX_DEPTH_CHOICES} |" in text
    assert f"| samples of a bound | {MAX_SAMPLES} |" in text
    assert ROWS_OF_NOISE == 2**20
    assert ROWS_OF_NOISE > MAX_SAMPLES
    assert "i · 2²⁰ + k" in text


def test_every_operation_is_served_by_a_graph_of_the_format_text() -> None:
    text = (Path(__file__).parents[2] / "exported" / "README.md").read_text()
    for kind in (FlowManifest, VAEManifest, AutoencoderManifest):
        for operation, graph in kind.OPERATIONS.items():
            assert f"`{operation}`" in text
            assert f"| `{graph}` |" in text


def test_an_output_may_have_a_tolerance_for_each_column(vae: Document) -> None:
    fits = output("x", 2) | {"tolerance": {"absolute": [1e-3, 1e-2], "relative": 0.0}}
    vae["graphs"]["decode"]["outputs"] = [fits]
    assert isinstance(parse(vae), VAEManifest)
