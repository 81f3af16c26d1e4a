"""Every way in which a bundle on disk can be wrong, each with its own sentence."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from exported import bundle
from exported.bundle import read_bundle, versions
from exported.errors import BundleInvalidError

Tamper = Callable[[dict], object]


def test_a_changed_byte_is_refused(folder: Path) -> None:
    path = folder / "log_prob.onnx"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        BundleInvalidError, match=r"log_prob\.onnx is not the file .* sha256"
    ) as refused:
        read_bundle(folder)
    assert f"bytes of sha256 {hashlib.sha256(content).hexdigest()[:12]}...)" in str(refused.value)


@pytest.mark.parametrize("kept", [-1, 0])
def test_a_truncated_file_is_refused(folder: Path, kept: int) -> None:
    path = folder / "golden.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BundleInvalidError, match=r"golden\.npz is not the file .* bytes"):
        read_bundle(folder)


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "calibration.npz").unlink()
    with pytest.raises(BundleInvalidError, match=r"calibration\.npz is missing"):
        read_bundle(folder)


def test_a_folder_in_the_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "calibration.npz").unlink()
    (folder / "calibration.npz").mkdir()
    with pytest.raises(BundleInvalidError, match=r"calibration\.npz is missing"):
        read_bundle(folder)


def test_an_oversized_file_is_refused(folder: Path) -> None:
    os.truncate(folder / "log_prob.onnx", bundle.MAX_FILE_BYTES + 1)  # a hole: takes no space
    with pytest.raises(BundleInvalidError, match=r"log_prob\.onnx has 268435457 bytes, at most"):
        read_bundle(folder)


def test_an_oversized_manifest_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(BundleInvalidError, match=r"manifest\.json has \d+ bytes, at most 10"):
        read_bundle(folder)


def test_a_bundle_too_large_as_a_whole_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 100)
    with pytest.raises(BundleInvalidError, match=r"bundle has \d+ bytes, at most 100"):
        read_bundle(folder)


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", "a/b", "..", ".hidden", ""])
def test_a_path_out_of_the_bundle_is_refused(folder: Path, file: str) -> None:
    _change(folder, lambda m: m["golden"].update(file=file))
    with pytest.raises(BundleInvalidError, match=r"golden\.file: String should match pattern"):
        read_bundle(folder)


def test_a_link_is_refused_even_to_the_right_bytes(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.npz"
    (folder / "golden.npz").rename(elsewhere)
    (folder / "golden.npz").symlink_to(elsewhere)
    with pytest.raises(BundleInvalidError, match=r"golden\.npz leads out of the bundle"):
        read_bundle(folder)


def test_a_version_folder_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted-17"
    folder.rename(mounted)
    folder.symlink_to(mounted, target_is_directory=True)
    assert read_bundle(folder).manifest.version == 3


@pytest.mark.parametrize("place", ["example/4", "other/3"])
def test_a_bundle_under_another_name_or_version_is_refused(folder: Path, place: str) -> None:
    moved = folder.parent.parent / place
    moved.parent.mkdir(exist_ok=True)
    folder.rename(moved)
    with pytest.raises(BundleInvalidError, match=f"the folder {place} holds example/3"):
        read_bundle(moved)


@pytest.mark.parametrize("value", [2, 0, "1", True, 1.0, None])
def test_an_unknown_format_version_is_refused(folder: Path, value: object) -> None:
    _change(folder, lambda m: m.update(format_version=value))
    with pytest.raises(BundleInvalidError, match=r"has format_version .*; this reader knows 1"):
        read_bundle(folder)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("section", ["held_out", "recipe"])
def test_a_number_that_json_does_not_have_is_refused(
    folder: Path, constant: str, section: str
) -> None:
    value = float(constant)
    if section == "held_out":
        _change(folder, lambda m: m["held_out"].update(log_likelihood=value))
    else:
        _change(folder, lambda m: m["provenance"]["recipe"].update(rate=value))
    with pytest.raises(BundleInvalidError, match=f"holds {constant}, which JSON does not have"):
        read_bundle(folder)


def test_a_number_beyond_float64_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("-3.5", "-1e999"))
    with pytest.raises(BundleInvalidError, match="holds -1e999, which is no finite float64"):
        read_bundle(folder)


def test_a_repeated_key_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 0, "seed": 1'))
    with pytest.raises(BundleInvalidError, match="holds the key 'seed' twice"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format_version": ' + b"9" * 5000 + b"}"],
    ids=["empty", "cut", "not utf-8", "too deep", "number too long"],
)
def test_a_manifest_that_is_not_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleInvalidError, match=r"manifest\.json is not JSON"):
        read_bundle(folder)


@pytest.mark.parametrize("content", [b"[]", b"1", b"null", b'"text"'])
def test_a_manifest_that_is_no_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleInvalidError, match="has format_version None"):
        read_bundle(folder)


def as_background(manifest: dict, graph: dict) -> dict:
    """What changes in a manifest whose background is a copy of a graph."""
    graph = graph | {"artifact": graph["artifact"] | {"file": "background.onnx"}}
    return {
        "graphs": manifest["graphs"] | {"background": graph},
        "background": {"name": "other", "version": 1},
        "calibration": manifest["calibration"] | {"scores": {"likelihood_ratio": {}}},
    }


REFUSED_CONTENTS: dict[str, tuple[Tamper, str]] = {
    "unknown key": (lambda m: m.update(licence="free"), "licence: Extra inputs"),
    "unknown key below": (
        lambda m: m["base"].update(scale=2),
        r"base\.standard_normal\.scale: Extra inputs",
    ),
    "missing key": (lambda m: m.pop("base"), "base: Field required"),
    "text for a number": (lambda m: m["held_out"].update(rows="9"), r"held_out\.rows"),
    "two columns of one name": (
        lambda m: m["features"][1].update(name="speed"),
        "feature names must be unique",
    ),
    "a context column named as a column": (
        lambda m: m.update(context_features=[m["features"][0]]),
        "feature names must be unique",
    ),
    "two entries for a file": (
        lambda m: m.update(golden=m["graphs"]["decode"]["artifact"]),
        "two entries name the same file",
    ),
    "two entries that differ in case": (
        lambda m: m["golden"].update(file="Decode.onnx"),
        "two entries name the same file",
    ),
    "an entry for the manifest": (
        lambda m: m["golden"].update(file="manifest.json"),
        "two entries name the same file",
    ),
    "an operation without a graph": (
        lambda m: m["operations"].update(score="other"),
        r"operations name graphs that are not listed: \['other'\]",
    ),
    "a base of another size": (
        lambda m: m["base"].update(draws_per_row=7),
        "expected a base of 2 latent features, got 7",
    ),
    "a score that is not known": (
        lambda m: m["calibration"].update(scores={"other": {}}),
        r"calibration\.scores\.other",
    ),
    "typicality without a reference": (
        lambda m: m["calibration"].update(scores={"typicality": {}}),
        "expected a reference exactly where typicality or combined is a score",
    ),
    "a reference of no score": (
        lambda m: m["calibration"].update(reference={"rows": 9, "mean_log_prob": -1.0}),
        "expected a reference exactly where typicality or combined is a score",
    ),
    "a ratio to no background": (
        lambda m: m["calibration"].update(scores={"likelihood_ratio": {}}),
        "expected the score 'likelihood_ratio', a graph 'background' and where that is from",
    ),
    "a background that is not there": (
        lambda m: m.update(background={"name": "other", "version": 1}),
        "expected the score 'likelihood_ratio', a graph 'background' and where that is from",
    ),
    "a background of latents": (
        lambda m: m.update(as_background(m, m["graphs"]["decode"])),
        "graph 'background' needs rows of this flow and a log_prob",
    ),
    "no features": (lambda m: m.update(features=[]), "features: Tuple should have at least 1"),
    "a name with a dot": (lambda m: m.update(name="a.b"), "name: String should match pattern"),
    "version zero": (lambda m: m.update(version=0), "version: Input should be greater"),
    "a reversed range": (
        lambda m: m["features"][0].update(training_range=[2.0, 1.0]),
        "'speed' has a range from 2.0 down to 1.0",
    ),
    "a reversed support": (
        lambda m: m["features"][0].update(support=[2.0, 1.0]),
        "'speed' has a range from 2.0 down to 1.0",
    ),
    "a constant that varies": (
        lambda m: m["features"][0].update(role="constant"),
        "constant feature 'speed' needs a support of equal ends",
    ),
    "a tensor without a batch": (
        lambda m: m["graphs"]["decode"]["inputs"][0].update(shape=[5, 2]),
        "tensor 'z' needs a shape of -1 and sizes",
    ),
    "tolerances of another number": (
        lambda m: m["graphs"]["decode"]["outputs"][0]["tolerance"].update(absolute=[1e-3] * 3),
        "output 'x' needs 2 tolerances, got 3",
    ),
    "a negative tolerance": (
        lambda m: m["graphs"]["decode"]["outputs"][1]["tolerance"].update(absolute=-1.0),
        "absolute",
    ),
    "a short digest": (lambda m: m["golden"].update(sha256="00"), r"golden\.sha256"),
}


@pytest.mark.parametrize(
    ("tamper", "message"), REFUSED_CONTENTS.values(), ids=list(REFUSED_CONTENTS)
)
def test_a_manifest_that_says_nonsense_is_refused(
    folder: Path, tamper: Tamper, message: str
) -> None:
    _change(folder, tamper)
    with pytest.raises(BundleInvalidError, match=message):
        read_bundle(folder)


def test_a_refused_version_is_still_listed(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    assert versions(folder.parent.parent, "example") == [3]


def _change(folder: Path, tamper: Tamper) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    tamper(manifest)
    path.write_text(json.dumps(manifest))
