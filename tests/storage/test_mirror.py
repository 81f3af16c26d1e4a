"""What comes from an address into the folder that the service follows."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from exported.bundle import read_bundle
from service.errors import StartError
from service.storage.kept import KEEP_S
from service.storage.mirror import Mirror
from tests.bundles import MEAN, write_gaussian
from tests.storage.servers import Store


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Versions on this machine; the third differs from the first in its manifest alone."""
    root = tmp_path / "published"
    write_gaussian(root, version=1)
    write_gaussian(root, version=2, mean=MEAN + 1.0)
    write_gaussian(root, version=3)
    return root


@pytest.fixture
def mirror(store: Store, published: Path, tmp_path: Path) -> Mirror:
    """One that has begun with version 1."""
    store.put_bundle(published / "gauss" / "1")
    made = Mirror(store.address, tmp_path / "cache")
    made.start()
    return made


def look_twice(mirror: Mirror) -> None:
    mirror.refresh()
    mirror.refresh()


def here(mirror: Mirror) -> set[str]:
    return {path.parent.name + "/" + path.name for path in mirror.root.glob("[!.]*/[0-9]*")}


def test_a_bundle_is_here_as_it_is_there(mirror: Mirror, published: Path) -> None:
    assert here(mirror) == {"gauss/1"}
    got, expected = (read_bundle(root / "gauss" / "1") for root in (mirror.root, published))
    assert got == expected


def test_a_new_version_appears_once_it_was_alike_at_two_looks(
    mirror: Mirror, store: Store, published: Path
) -> None:
    store.put_bundle(published / "gauss" / "2")
    mirror.refresh()
    assert here(mirror) == {"gauss/1"}
    mirror.refresh()
    assert here(mirror) == {"gauss/1", "gauss/2"}


def test_a_version_that_is_gone_goes(mirror: Mirror, store: Store, published: Path) -> None:
    store.put_bundle(published / "gauss" / "2")
    look_twice(mirror)
    store.delete("gauss/1")
    mirror.refresh()
    assert here(mirror) == {"gauss/2"}
    assert not mirror.health.is_away


@pytest.mark.parametrize(
    ("without", "said"),
    [("manifest.json", "manifest.json is missing"), ("decode.onnx", "decode.onnx is missing")],
)
def test_one_that_is_half_there_is_told_once_and_taken_when_it_is_whole(
    mirror: Mirror,
    store: Store,
    published: Path,
    caplog: pytest.LogCaptureFixture,
    without: str,
    said: str,
) -> None:
    folder = published / "gauss" / "2"
    store.put_bundle(folder, without)
    for _ in range(4):
        mirror.refresh()
    assert here(mirror) == {"gauss/1"}
    assert list(mirror.refused) == [("gauss", 2)]
    assert [record.levelname for record in caplog.records if said in record.message] == ["ERROR"]
    store.put_bundle(folder)
    look_twice(mirror)
    assert here(mirror) == {"gauss/1", "gauss/2"}
    assert not mirror.refused


@pytest.mark.parametrize("in_place", [False, True])
def test_a_tampered_one_displaces_nothing(
    mirror: Mirror,
    store: Store,
    published: Path,
    caplog: pytest.LogCaptureFixture,
    in_place: bool,
) -> None:
    version = 1 if in_place else 2
    source = published / "gauss" / str(version)
    graph = bytearray((source / "decode.onnx").read_bytes())
    graph[-1] ^= 1
    manifest = (
        (source / "manifest.json").read_bytes().replace(b"tests/bundles.py", b"elsewhere.py")
    )
    store.put_bundle(source, decode=bytes(graph), manifest=manifest)
    before = read_bundle(mirror.root / "gauss" / "1")
    look_twice(mirror)
    if in_place:  # its decode.onnx is here, and what is here is not fetched
        assert not mirror.refused
        assert read_bundle(mirror.root / "gauss" / "1").contents == before.contents
        return
    assert here(mirror) == {"gauss/1"}
    assert list(mirror.refused) == [("gauss", 2)]
    assert "decode.onnx is not the file the manifest describes" in caplog.text
    assert read_bundle(mirror.root / "gauss" / "1") == before


def changed(published: Path, version: int, **fields: object) -> bytes:
    document = json.loads((published / "gauss" / str(version) / "manifest.json").read_bytes())
    return json.dumps(document | fields).encode()


def with_file(published: Path, **entry: object) -> bytes:
    document = json.loads((published / "gauss" / "2" / "manifest.json").read_bytes())
    document["golden"] |= entry
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"file": "../../../../../outside.npz"}, "golden.file"),
        ({"file": "/etc/passwd"}, "golden.file"),
        ({"size_bytes": 2**28 + 1}, f"at most {2**28}"),
        ({"size_bytes": 2**31}, f"at most {2**30}"),
        ({"size_bytes": 17}, "expected 17 bytes"),
    ],
)
def test_files_that_lead_elsewhere_or_are_too_large_are_not_fetched(
    mirror: Mirror,
    store: Store,
    published: Path,
    caplog: pytest.LogCaptureFixture,
    entry: dict[str, object],
    said: str,
) -> None:
    before = mirror.health.fetched_bytes
    store.put_bundle(published / "gauss" / "2", manifest=with_file(published, **entry))
    look_twice(mirror)
    assert here(mirror) == {"gauss/1"}
    assert said in caplog.text
    assert mirror.health.fetched_bytes == before


def test_a_bundle_under_another_name_is_refused(
    mirror: Mirror, store: Store, published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in (published / "gauss" / "2").iterdir():
        store.put(f"other/2/{file.name}", file.read_bytes())
    look_twice(mirror)
    assert here(mirror) == {"gauss/1"}
    assert "it holds gauss/2 and must be named so" in caplog.text


def test_what_lies_beside_bundles_is_not_looked_at(mirror: Mirror, store: Store) -> None:
    for path in ("README.md", "gauss/notes.txt", "gauss/1/deep/x", "gauss/v3/manifest.json"):
        store.put(path, b"x")
    look_twice(mirror)
    assert here(mirror) == {"gauss/1"}
    assert not mirror.refused


def test_a_second_start_fetches_nothing(
    mirror: Mirror, store: Store, published: Path, tmp_path: Path
) -> None:
    assert mirror.health.fetched_bytes > 0
    again = Mirror(store.address, tmp_path / "cache")
    again.start()
    assert here(again) == {"gauss/1"}
    assert again.health.fetched_bytes == 0
    look_twice(again)
    assert again.health.fetched_bytes == 0


def test_files_that_another_version_has_are_not_fetched(
    mirror: Mirror, store: Store, published: Path
) -> None:
    before = mirror.health.fetched_bytes
    store.put_bundle(published / "gauss" / "3")
    look_twice(mirror)
    assert here(mirror) == {"gauss/1", "gauss/3"}
    assert mirror.health.fetched_bytes == before


@pytest.mark.parametrize("name", ["decode.onnx", "manifest.json"])
def test_what_was_damaged_here_is_had_again(
    mirror: Mirror, store: Store, published: Path, tmp_path: Path, name: str
) -> None:
    (mirror.root / "gauss" / "1" / name).write_bytes(b"")  # as a lost power supply may leave it
    again = Mirror(store.address, tmp_path / "cache")
    again.start()
    size = (published / "gauss" / "1" / name).stat().st_size
    assert again.health.fetched_bytes == (size if name == "decode.onnx" else 0)
    assert read_bundle(again.root / "gauss" / "1") == read_bundle(published / "gauss" / "1")


def test_processes_that_share_the_folder_do_not_wait_for_each_other(
    mirror: Mirror, store: Store, published: Path, tmp_path: Path
) -> None:
    other = Mirror(store.address, tmp_path / "cache")
    store.put_bundle(published / "gauss" / "2")
    look_twice(mirror)
    with other._kept.alone(waits=True):
        store.put_bundle(published / "gauss" / "3")
        look_twice(mirror)
        assert here(mirror) == {"gauss/1", "gauss/2"}
    look_twice(mirror)
    assert here(other) == {"gauss/1", "gauss/2", "gauss/3"}
    other.start()
    assert other.health.fetched_bytes == 0


def test_which_version_answers_is_followed(mirror: Mirror, store: Store) -> None:
    place = mirror.root / "gauss" / "serving.json"
    for text in (b'{"version": 1}', b'{"version": 2}'):
        store.put("gauss/serving.json", text)
        mirror.refresh()
        assert place.read_bytes() == text
    store.delete("gauss/serving.json")
    mirror.refresh()
    assert not place.exists()


def test_which_version_answers_is_written_there(mirror: Mirror, store: Store) -> None:
    mirror.write("gauss", '{"version": 1}\n')
    assert "gauss/serving.json" in store.names()
    look_twice(mirror)
    assert (mirror.root / "gauss" / "serving.json").read_text() == '{"version": 1}\n'


def test_an_address_that_goes_away_changes_nothing_and_is_told_once(
    mirror: Mirror, store: Store, caplog: pytest.LogCaptureFixture, published: Path
) -> None:
    caplog.set_level(logging.INFO)
    looked = mirror.health.looked
    store.delete("gauss")
    for _ in range(3):
        mirror.refresh()
    assert here(mirror) == {"gauss/1"}
    assert mirror.health.is_away
    assert mirror.health.looked == looked
    assert caplog.text.count("is away, what serves goes on") == 1
    store.put_bundle(published / "gauss" / "1")
    look_twice(mirror)
    assert not mirror.health.is_away
    assert "can be reached again" in caplog.text


def test_nothing_that_can_be_taken_is_an_error_at_the_start(
    store: Store, published: Path, tmp_path: Path
) -> None:
    (published / "gauss" / "1" / "decode.onnx").write_bytes(b"tampered with")
    store.put_bundle(published / "gauss" / "1")
    with pytest.raises(StartError, match=r"all 1 bundles at .* were refused"):
        Mirror(store.address, tmp_path / "cache").start()


def test_nothing_there_is_an_error_at_the_start(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"there are no bundles$"):
        Mirror(store.address, tmp_path / "cache").start()


def test_drafts_go_and_what_nothing_leads_to_stays_for_a_while(
    mirror: Mirror, store: Store, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = mirror.root / ".bundles"
    (content / ".draft-dead").mkdir()
    store.put_bundle(published / "gauss" / "2")
    look_twice(mirror)
    assert len(list(content.iterdir())) == 2
    store.delete("gauss/1")
    mirror.refresh()
    assert len(list(content.iterdir())) == 2
    monkeypatch.setattr("service.storage.kept.KEEP_S", -KEEP_S)
    mirror.refresh()
    assert len(list(content.iterdir())) == 1
