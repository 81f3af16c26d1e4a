"""``logdet push`` and ``logdet pull``, and what the other commands say of an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from exported.bundle import read_bundle
from tests.storage.servers import Store
from tests.terminal import Run


def test_a_bundle_goes_there_and_comes_back(
    run: Run, store: Store, root: Path, tmp_path: Path
) -> None:
    for version in (1, 2):
        done = run("push", f"gauss/{version}", store.address)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith("published ")
        assert "endpoint_override" not in done.stdout
    back = tmp_path / "back"
    assert run("pull", "gauss", store.address, "--out", back).exit_code == 0
    assert [path.name for path in (back / "gauss").iterdir()] == ["2"]
    assert read_bundle(back / "gauss" / "2") == read_bundle(root / "gauss" / "2")
    again = run("pull", "gauss/2", store.address, "--out", back)
    assert again.exit_code == 1
    assert "gauss/2 is already published" in again.stderr


def test_the_manifest_goes_last(
    run: Run, store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.storage.bucket import Bucket

    written: list[str] = []
    monkeypatch.setattr(Bucket, "write", lambda self, path, content: written.append(path))
    assert run("push", "gauss/1", store.address).exit_code == 0
    assert written[-1] == "gauss/1/manifest.json"
    assert {path.rpartition("/")[2] for path in written} == {
        file.name for file in (root / "gauss" / "1").iterdir()
    }


def test_a_version_that_is_there_is_refused_and_a_half_one_is_finished(
    run: Run, store: Store, root: Path
) -> None:
    store.put_bundle(root / "gauss" / "1", "manifest.json")
    assert run("push", "gauss/1", store.address).exit_code == 0
    again = run("push", "gauss/1", store.address)
    assert again.exit_code == 1
    assert "gauss/1 is already published at" in again.stderr


def test_a_bundle_that_does_not_hold_is_not_published(run: Run, store: Store, root: Path) -> None:
    (root / "gauss" / "1" / "decode.onnx").write_bytes(b"other")
    refused = run("push", "gauss/1", store.address)
    assert refused.exit_code == 1
    assert "decode.onnx is not the file the manifest describes" in refused.stderr
    assert store.names() == set()


def test_a_tampered_one_does_not_come_here(
    run: Run, store: Store, root: Path, tmp_path: Path
) -> None:
    size = (root / "gauss" / "1" / "decode.onnx").stat().st_size
    store.put_bundle(root / "gauss" / "1", decode=b"x" * size)
    refused = run("pull", "gauss", store.address, "--out", tmp_path / "back")
    assert refused.exit_code == 1
    assert "decode.onnx is not what the manifest describes" in refused.stderr
    assert not list((tmp_path / "back").glob("gauss/*"))


def test_what_is_not_there_is_told(run: Run, store: Store, root: Path, tmp_path: Path) -> None:
    empty = run("pull", "gauss", store.address, "--out", tmp_path)
    assert "there are no bundles" in empty.stderr
    store.put_bundle(root / "gauss" / "1")
    assert "there are: gauss" in run("pull", "other", store.address, "--out", tmp_path).stderr
    assert "it has: 1" in run("pull", "gauss/3", store.address, "--out", tmp_path).stderr


def test_a_bucket_that_is_missing_is_told(
    run: Run, bucket: Store, root: Path, tmp_path: Path
) -> None:
    other = bucket.address.replace("s3://", "s3://nobodys-")
    for asked in (("pull", "gauss", other, "--out", tmp_path), ("push", "gauss", other)):
        refused = run(*asked)
        assert refused.exit_code == 1
        assert "bucket does not exist" in refused.stderr
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("models",),
        ("verify", "gauss"),
        ("score", "gauss", "rows.csv"),
        ("sample", "gauss", "-n", "1"),
        ("push", "gauss", "s3://bucket/x"),
    ],
)
def test_other_commands_say_what_they_expect_in_place_of_an_address(
    run: Run, command: tuple[str, ...]
) -> None:
    refused = run(*command, "--bundles", "s3://user@bucket/prefix?region=x")
    assert refused.exit_code == 2
    assert "expected a folder of this machine, got s3://bucket/prefix" in refused.stderr
    assert "logdet pull" in refused.stderr


def test_publishing_says_so_too(run: Run, tmp_path: Path) -> None:
    refused = run("train", "toy", "--out", "s3://bucket/prefix")
    assert refused.exit_code == 2
    assert "expected a folder of this machine, got s3://bucket/prefix" in refused.stderr
    assert "got 'elsewhere'" in run("push", "gauss", "elsewhere").stderr


@pytest.mark.parametrize("command", [("serve", "--bundles"), ("push", "gauss"), ("pull", "gauss")])
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://key:hidden@bucket/x", "without a password"),
        ("nosuch://bucket/x", "cannot reach nosuch://bucket/x"),
    ],
)
def test_addresses_that_cannot_be_are_refused_without_their_secrets(
    run: Run, command: tuple[str, ...], address: str, said: str
) -> None:
    refused = run(*command, address)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert "hidden" not in refused.stdout + refused.stderr
    assert refused.stderr.count("\n") == 1
