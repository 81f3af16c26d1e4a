"""Disks that are full, and bundles that go away, under traffic."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from logdet.errors import UserError, user_errors
from tests.bundles import write_gaussian
from tests.engines import EMBEDDED, embedded, running_as
from tests.faults.steady import Steady, kinds
from tests.faults.table import tell

pytestmark = pytest.mark.serve

FOLLOWED = {"LOGDET_FOLLOW_S": "0.2"}
LOOKS_S = 1.0  # five looks
SIZE_KIB = 64


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of :data:`SIZE_KIB`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KIB}k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def version(url: str) -> int:
    answer = httpx.post(f"{url}/v1/models/gauss/sample", json={"n": 1}, timeout=10)
    return int(answer.json()["version"])


def until(true: Callable[[], bool], within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def test_a_disk_that_fills_up_while_a_bundle_is_written_costs_nothing(small_disk: Path) -> None:
    write_gaussian(small_disk, "gauss", 1)
    ballast = small_disk / "ballast"
    with embedded(small_disk, FOLLOWED) as running, Steady(kinds(running.url)) as steady:
        ballast.write_bytes(b"x" * 1024 * (SIZE_KIB - 32))
        at = time.monotonic()
        with pytest.raises(UserError, match=r"gauss/2: no space left on device"), user_errors():
            write_gaussian(small_disk, "gauss", 2)
        assert sorted(path.name for path in (small_disk / "gauss").iterdir()) == ["1"]
        time.sleep(LOOKS_S)
        assert version(running.url) == 1
        ballast.unlink()
        write_gaussian(small_disk, "gauss", 2)
        assert until(lambda: version(running.url) == 2)
    tell("disk full while a bundle is written", "embedded", steady.told, at)
    assert [one.first for one in steady.told.values()] == [[]] * 3
    assert not any(one.wrong for one in steady.told.values())


def test_a_service_whose_log_has_no_room_goes_on(tmp_path: Path) -> None:
    write_gaussian(tmp_path, "gauss", 1)
    # Whatever is written there finds no space left.
    program = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n" + EMBEDDED
    with running_as(program, tmp_path, FOLLOWED) as running:
        with Steady(kinds(running.url)) as steady:
            at = time.monotonic()
            write_gaussian(tmp_path, "gauss", 2, golden_offset=1.0)  # whose refusal is logged
            write_gaussian(tmp_path, "gauss", 3)
            assert until(lambda: version(running.url) == 3)
        page = httpx.get(f"{running.url}/metrics").text
    tell("log on a full disk", "embedded", steady.told, at)
    assert 'result="refused"' in page
    assert [one.first for one in steady.told.values()] == [[]] * 3


def test_a_bundle_that_is_deleted_while_it_serves_costs_nothing(tmp_path: Path) -> None:
    write_gaussian(tmp_path, "gauss", 1)
    write_gaussian(tmp_path, "gauss", 2)
    with embedded(tmp_path, {"LOGDET_FOLLOW_S": "1"}) as running:
        steady = Steady(kinds(running.url))
        with steady:
            at = time.monotonic()
            shutil.rmtree(tmp_path / "gauss" / "2")
            assert version(running.url) == 2  # what was read is what runs
            assert until(lambda: version(running.url) == 1)
            shutil.rmtree(tmp_path / "gauss")  # the last one: a disk that is away
            time.sleep(3.0)
        assert version(running.url) == 1
    tell("bundle deleted while served", "embedded", steady.told, at)
    assert [one.first for one in steady.told.values()] == [[]] * 3
    assert not any(one.wrong for one in steady.told.values())
