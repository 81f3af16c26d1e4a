"""What is wanted of each name: by its file, else by the setting, else the newest version.

``ROOT/NAME/serving.json`` says ``{"version": 3}`` or ``{"version": 3, "challenger": 4}``. A
request writes it where it can, so that other replicas and a restart do as was asked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from exported.bundle import names
from service.errors import StartError
from service.place import MAX_POLICY_BYTES as MAX_BYTES
from service.place import POLICY_FILE as FILE
from service.place import Place
from service.policy import LATEST, Policy

log = logging.getLogger(__name__)

# The text of each file that there is, by name.
Texts = Mapping[str, str]
Source = Literal["default", "setting", "file", "request"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A policy, and who set it.

    Attributes:
        policy: The policy.
        set_by: Where it was read; of a request whose file could not be written, the request.
        problem: Why a newer one was not taken; empty if there is none.
    """

    policy: Policy = LATEST
    set_by: Source = "default"
    problem: str = ""


class Policies:
    """What is wanted of each name, as files and requests change it.

    Args:
        place: Where the bundles are.
        settings: By name, for those without a file.

    Raises:
        StartError: If a file says no policy.
    """

    def __init__(self, place: Place, settings: Mapping[str, Policy]) -> None:
        self._place, self._root = place, place.root
        self._settings = {name: Wanted(policy, "setting") for name, policy in settings.items()}
        self._wanted = dict(self._settings)
        self._seen = self._before = self.read()
        for name, text in self._seen.items():
            self._take(name, text)
            if problem := self.of(name).problem:
                raise StartError(f"{name}: {problem}")
            if name in settings and settings[name] != self.of(name).policy:
                log.warning("%s: %s prevails over the setting", name, FILE)

    def of(self, name: str) -> Wanted:
        """What is wanted of a name."""
        return self._wanted.get(name, Wanted())

    def named(self) -> list[str]:
        """Names of which something is wanted."""
        return sorted(self._wanted)

    def read(self) -> Texts:
        """The files as they are now."""
        texts = {name: _text(self._root / name / FILE) for name in names(self._root)}
        return {name: text for name, text in texts.items() if text is not None}

    def follow(self, found: Texts) -> bool:
        """Take what has changed since the last look and was alike at two; whether there was any.

        What is no policy is not taken: what was wanted before still is.
        """
        before, self._before = self._before, found
        changed = [
            name
            for name in {*found, *self._seen}
            if found.get(name) == before.get(name) != self._seen.get(name)
        ]
        for name in changed:
            self._take(name, found.get(name))
            if problem := self.of(name).problem:
                log.error("%s: %s", name, problem)
        seen = {**self._seen, **{name: found.get(name) for name in changed}}
        self._seen = {name: text for name, text in seen.items() if text is not None}
        return bool(changed)

    def write(self, name: str, policy: Policy) -> str | None:
        """Write a name's file, all of it or nothing; its text, or None if it cannot be written."""
        text = json.dumps(policy.document()) + "\n"
        try:
            self._place.write(name, text)
        except OSError as error:
            log.warning("%s: %s is not written (%s)", name, FILE, error.strerror or error)
            return None
        return text

    def take(self, name: str, policy: Policy, text: str | None) -> None:
        """Want what a request asks, and what was written of it."""
        self._wanted[name] = Wanted(policy, "request" if text is None else "file")
        if text is not None:
            self._seen = {**self._seen, name: text}
            self._before = {**self._before, name: text}

    def _take(self, name: str, text: str | None) -> None:
        """Want what a file says; without it, the setting again."""
        if text is None:
            self._wanted.pop(name, None)
            self._wanted |= {k: v for k, v in self._settings.items() if k == name}
            return
        try:
            policy = Policy.of_document(json.loads(text))
        except (ValueError, RecursionError) as error:
            of_policy = type(error) is ValueError
            why = str(error) if of_policy else f"expected JSON of at most {MAX_BYTES} bytes"
            problem = f"{FILE} is not taken: {why}"
            self._wanted[name] = replace(self.of(name), problem=problem)
        else:
            self._wanted[name] = Wanted(policy, "file")


def _text(path: Path) -> str | None:
    """A file's text; nothing if it is too long or cannot be read, None if it is not there."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return content.decode() if len(content) <= MAX_BYTES else ""
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        return ""
