"""A root for a stage: what a base image has comes from this machine, read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_OF_THE_MACHINE = ("usr", "bin", "sbin", "lib", "lib64")
_OF_THE_KERNEL = ("proc", "dev", "sys")
_PYTHON = "usr/local"  # where the images of Python have theirs


class Root:
    """A folder that commands see as ``/``.

    Args:
        path: Made anew.
        begun: Another root, copied; None for what a base image has.
    """

    def __init__(self, path: Path, begun: Root | None = None) -> None:
        self.path = path
        if begun is not None:
            begun.leave()
            _run("cp", "-a", str(begun.path), str(path))
        else:
            path.mkdir(parents=True)
            _run("cp", "-a", "/etc", str(path / "etc"))
        self._mounted: list[Path] = []
        self._enter()

    def run(
        self, words: Sequence[str], environ: Mapping[str, str], folder: str = "/"
    ) -> subprocess.CompletedProcess[str]:
        """A command in this root, as whoever asks.

        Raises:
            RuntimeError: With what it said, if it fails.
        """
        command = ["chroot", str(self.path), "/usr/bin/env", "-i", "-C", folder]
        pairs = [f"{name}={value}" for name, value in environ.items()]
        done = subprocess.run(
            [*command, *pairs, *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{words[-1]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def inside(self, path: str) -> Path:
        """Where a path of this root is on the machine."""
        return self.path / path.lstrip("/")

    def lend(self, path: str, folder: Path) -> None:
        """A folder of the machine at a path of this root."""
        folder.mkdir(parents=True, exist_ok=True)
        self._mount(path, "--bind", str(folder))

    def make_read_only(self) -> None:
        """All but ``/tmp`` and ``/dev/shm``, which are empty and in memory."""
        self.leave()
        _run("mount", "--bind", str(self.path), str(self.path))
        _run("mount", "-o", "remount,ro,bind", str(self.path))
        self._mounted.append(self.path)
        self._enter()

    def leave(self) -> None:
        """Let go of what is not the stage's own."""
        for path in reversed(self._mounted):
            _run("umount", "--lazy", str(path))
        self._mounted.clear()

    def _enter(self) -> None:
        for name in _OF_THE_MACHINE:
            source = Path("/", name)
            if source.is_symlink() and not self.inside(name).is_symlink():
                self.inside(name).symlink_to(source.readlink())
            elif source.is_dir() and not source.is_symlink():
                self._mount(name, "--bind", str(source), read_only=True)
        if Path(sys.base_prefix) != Path("/usr"):
            for name in (_PYTHON, sys.base_prefix):  # where its library is looked for
                self._mount(name, "--bind", sys.base_prefix, read_only=True)
        for name in _OF_THE_KERNEL:
            self._mount(name, "--rbind", f"/{name}")
        for name in ("tmp", "dev/shm"):
            self._mount(name, "-t", "tmpfs", "-o", "mode=1777", "tmpfs")

    def _mount(self, name: str, *how: str, read_only: bool = False) -> None:
        place = self.inside(name)
        if not place.is_dir():
            place.mkdir(parents=True)
        _run("mount", *how, str(place))
        self._mounted.append(place)
        if read_only:
            _run("mount", "-o", "remount,ro,bind", str(place))


def copy(source: Path, place: Path, *, is_linked: bool) -> None:
    """A file to a place, or what a folder holds into it."""
    if source.is_dir():
        linked = os.link if is_linked else shutil.copy2
        shutil.copytree(source, place, copy_function=linked, symlinks=True, dirs_exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
