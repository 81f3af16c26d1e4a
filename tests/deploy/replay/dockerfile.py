"""A Dockerfile as its stages, with its arguments put in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_KNOWN = {"RUN", "COPY", "ENV", "ARG", "WORKDIR", "USER", "SHELL", "EXPOSE", "HEALTHCHECK", "CMD"}


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next.

    Args:
        name: After AS.
        source: The image or the stage that it begins with.
        instructions: ``(word, rest)`` in order, arguments put in.
    """

    name: str
    source: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages(path: Path, given: Mapping[str, str]) -> dict[str, Stage]:
    """Its stages by name; given are build arguments in place of their defaults.

    Raises:
        ValueError: At an instruction that is not known here.
    """
    found: dict[str, Stage] = {}
    everywhere: dict[str, str] = {}
    arguments: dict[str, str] = {}
    for word, rest in _lines(path.read_text()):
        if word == "FROM":
            source, _, name = (part.strip() for part in put_in(rest, everywhere).partition(" AS "))
            found[name] = stage = Stage(name, source)
            arguments = {}
        elif word == "ARG":
            name, _, default = rest.partition("=")
            kept = everywhere if not found else arguments
            kept[name] = given.get(name, default or everywhere.get(name, ""))
        elif word in _KNOWN:
            plain = word in {"RUN", "CMD", "HEALTHCHECK", "ENV"}  # the shell, or PATH, puts in
            stage.instructions.append((word, rest if plain else put_in(rest, arguments)))
        else:
            raise ValueError(f"expected one of {', '.join(sorted(_KNOWN))}, got {word}")
    return found


def needed(found: Mapping[str, Stage], target: str) -> list[Stage]:
    """The stages that one is made of, itself last."""
    stage, before = found[target], []
    named = [
        match[1] for _, rest in stage.instructions if (match := re.match(r"--from=(\S+)", rest))
    ]
    for name in [stage.source, *named]:
        before += (
            [one for one in needed(found, name) if one not in before] if name in found else []
        )
    return [*before, stage]


def put_in(text: str, values: Mapping[str, str]) -> str:
    """The text with ``$NAME`` and ``${NAME}`` replaced by values; others stay."""
    return re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], m[0]), text)


def exec_form(text: str) -> list[str]:
    """The words of ``["a", "b"]``, after options and after CMD."""
    words: list[str] = json.loads(text[text.index("[") :])
    return words


def _lines(text: str) -> Iterator[tuple[str, str]]:
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in kept.replace("\\\n", "").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()
