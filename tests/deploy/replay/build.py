"""The stages of a Dockerfile, one after another, without a container engine."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import PathSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from tests.deploy.replay.dockerfile import exec_form, needed, put_in, stages
from tests.deploy.replay.root import Root, copy

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
_CACHE = re.compile(r"--mount=type=cache,target=(\S+)\s+")
_CACHED = Path.home() / ".cache" / "pip"  # as pip does on this machine
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Image:
    """What a stage came to.

    Args:
        root: Its files.
    """

    root: Root
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    folder: str = "/"
    user: str = "0"
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def begun_from(self, other: Image) -> None:
        """Take over what a stage hands on beside its files."""
        self.environ, self.folder, self.user = dict(other.environ), other.folder, other.user
        self.shell = list(other.shell)


def build(target: str, folder: Path, given: Mapping[str, str]) -> Image:
    """A target of the project's Dockerfile in a folder; given are build arguments."""
    made: dict[str, Image] = {}
    for stage in needed(stages(DOCKERFILE, given), target):
        begun = made.get(stage.source)
        image = Image(Root(folder / stage.name, begun.root if begun else None))
        if begun:
            image.begun_from(begun)
        for word, rest in stage.instructions:
            _follow(image, word, rest, made)
        made[stage.name] = image
    return made[target]


def in_context(path: Path) -> bool:
    """Whether ``.dockerignore`` lets a file of the project be seen."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    ignored = PathSpec.from_lines(GitIgnoreSpecPattern, lines)
    return not ignored.match_file(path.relative_to(ROOT))


def _follow(image: Image, word: str, rest: str, made: Mapping[str, Image]) -> None:
    if word == "RUN":
        while (option := _CACHE.match(rest)) is not None:
            image.root.lend(option[1], _CACHED)
            rest = rest[option.end() :]
        image.root.run([*image.shell, rest], _of_pip() | image.environ, image.folder)
    elif word == "COPY":
        _copy(image, rest, made)
    elif word == "ENV":
        pairs = (pair.split("=", 1) for pair in shlex.split(rest))
        image.environ |= {name: put_in(value, image.environ) for name, value in pairs}
    elif word == "WORKDIR":
        image.folder = rest
        image.root.inside(rest).mkdir(parents=True, exist_ok=True)
    elif word == "USER":
        image.user = rest
    elif word in {"SHELL", "CMD", "HEALTHCHECK"}:
        name = {"SHELL": "shell", "CMD": "command", "HEALTHCHECK": "health"}[word]
        setattr(image, name, exec_form(rest))


def _copy(image: Image, rest: str, made: Mapping[str, Image]) -> None:
    *names, place = rest.split()
    stage = made[names.pop(0).removeprefix("--from=")] if names[0].startswith("--from=") else None
    for name in names:
        target = image.root.inside(os.path.join(image.folder, place))
        source = stage.root.inside(name) if stage else ROOT / name
        if source.is_file() and (place.endswith("/") or len(names) > 1):
            target /= source.name
        if stage:
            copy(source, target, is_linked=True)
            continue
        for file in [source] if source.is_file() else sorted(source.rglob("*")):
            if file.is_file() and in_context(file):
                copy(file, target / file.relative_to(source), is_linked=False)


def _of_pip() -> dict[str, str]:
    """How this machine reaches its index of packages."""
    lowered = {name: name.lower() for name in os.environ}
    return {
        name: os.environ[name]
        for name, low in lowered.items()
        if low.startswith("pip_") or low.endswith("_proxy") or low.startswith("ssl_cert")
    }
