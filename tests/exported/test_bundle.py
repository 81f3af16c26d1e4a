import json
import os
from pathlib import Path

import numpy as np
import pytest

from exported import bundle, document
from exported.bundle import locate, names, read_bundle, read_manifest, versions, write_bundle
from exported.errors import BundleExistsError, BundleInvalidError, BundleNotFoundError
from exported.manifest import Manifest

Contents = dict[str, bytes]


def at_version(manifest: Manifest, version: int) -> Manifest:
    return manifest.model_copy(update={"version": version})


def test_what_was_written_is_what_is_read(
    folder: Path, manifest: Manifest, contents: Contents
) -> None:
    read = read_bundle(folder)
    assert read.manifest == manifest
    assert read.contents == contents
    assert read.graph("decode") == contents["decode.onnx"]
    assert read.golden()["log_prob.in.x"].shape == (2, 2)
    np.testing.assert_array_equal(read.calibration().scores, np.linspace(-9.0, -1.0, 99))


def test_a_bundle_in_memory_outlives_its_folder(folder: Path, contents: Contents) -> None:
    read = read_bundle(folder)
    (folder / "decode.onnx").write_bytes(b"something else")
    assert read.graph("decode") == contents["decode.onnx"]


def test_the_newest_version_is_the_largest_number(
    folder: Path, manifest: Manifest, contents: Contents
) -> None:
    root = folder.parent.parent
    write_bundle(root, at_version(manifest, 20), contents)
    write_bundle(root, at_version(manifest, 4), contents)
    assert versions(root, "example") == [3, 4, 20]
    assert locate(root, "example") == root / "example" / "20"
    assert locate(root, "example", 4) == root / "example" / "4"
    assert names(root) == ["example"]


def test_only_folders_named_by_a_number_are_versions(folder: Path) -> None:
    for name in (".draft-abc", "07", "4.bak", "latest", "12345678901"):
        (folder.parent / name).mkdir()
    (folder.parent / "8").write_text("not a folder")
    (folder.parent.parent / "Upper").mkdir()
    assert versions(folder.parent.parent, "example") == [3]
    assert names(folder.parent.parent) == ["example"]


@pytest.mark.parametrize("name", ["../example", "Example", "", "exa.mple", "example\n"])
def test_a_name_that_is_no_name_has_no_versions(folder: Path, name: str) -> None:
    assert versions(folder.parent.parent, name) == []


def test_an_unknown_name_or_version_is_answered_with_those_there_are(folder: Path) -> None:
    root = folder.parent.parent
    with pytest.raises(BundleNotFoundError, match="there are: example"):
        locate(root, "other")
    with pytest.raises(BundleNotFoundError, match="has no version 4; it has: 3"):
        locate(root, "example", 4)
    with pytest.raises(BundleNotFoundError, match="there are: none"):
        locate(root / "nowhere", "example")
    with pytest.raises(BundleNotFoundError, match=r"no manifest\.json"):
        read_manifest(root)


def test_a_published_version_is_never_written_again(
    folder: Path, manifest: Manifest, contents: Contents
) -> None:
    with pytest.raises(BundleExistsError, match="example/3 is already published"):
        write_bundle(folder.parent.parent, manifest, contents)
    assert os.listdir(folder.parent) == ["3"]


def test_of_two_writers_of_one_version_the_slower_is_refused(
    tmp_path: Path, manifest: Manifest, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = bundle.dump_manifest

    def publish_meanwhile(described: Manifest) -> bytes:
        monkeypatch.setattr(bundle, "dump_manifest", dump)
        monkeypatch.setattr(bundle.Path, "exists", exists)
        write_bundle(tmp_path, manifest, contents)
        monkeypatch.setattr(bundle.Path, "exists", iter_exists)
        return dump(described)

    exists = Path.exists
    answers = [False]  # the check before writing; the one after the failed rename is real

    def iter_exists(path: Path) -> bool:
        return answers.pop() if answers else exists(path)

    monkeypatch.setattr(bundle, "dump_manifest", publish_meanwhile)
    with pytest.raises(BundleExistsError, match="example/3 is already published"):
        write_bundle(tmp_path, manifest, contents)
    assert os.listdir(tmp_path / "example") == ["3"]
    assert read_bundle(tmp_path / "example" / "3").manifest == manifest


def test_a_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, manifest: Manifest, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def full_disk(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 3:
            raise OSError("no space left on device")

    monkeypatch.setattr(bundle.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_bundle(tmp_path, manifest, contents)
    assert os.listdir(tmp_path / "example") == []
    assert names(tmp_path) == []


def test_an_interrupt_in_the_middle_leaves_nothing(
    tmp_path: Path, manifest: Manifest, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path, manifest, contents)
    assert os.listdir(tmp_path / "example") == []


def test_nothing_is_written_that_a_reader_would_refuse(
    tmp_path: Path, manifest: Manifest, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleInvalidError, match=r"does not list notes\.txt"):
        write_bundle(tmp_path, manifest, contents | {"notes.txt": b"hello"})
    with pytest.raises(
        BundleInvalidError, match=r"decode\.onnx is not what the manifest describes"
    ):
        write_bundle(tmp_path, manifest, contents | {"decode.onnx": b"other"})
    without = {name: content for name, content in contents.items() if name != "golden.npz"}
    with pytest.raises(
        BundleInvalidError, match=r"golden\.npz is not what the manifest describes"
    ):
        write_bundle(tmp_path, manifest, without)
    monkeypatch.setattr(bundle, "MAX_FILE_BYTES", 10)
    with pytest.raises(BundleInvalidError, match="at most 10 are read"):
        write_bundle(tmp_path, manifest, contents)
    monkeypatch.setattr(document, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(BundleInvalidError, match="at most 10 are read"):
        document.dump_manifest(manifest)
    assert os.listdir(tmp_path) == []


def test_the_written_manifest_is_readable_json(folder: Path, document: dict) -> None:
    written = json.loads((folder / "manifest.json").read_text())
    assert written["features"][1]["name"] == "count"
    assert written["graphs"].keys() == document["graphs"].keys()
