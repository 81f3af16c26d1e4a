"""Which version of a name answers who names none, and which is scored beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from exported.artifact import MAX_VERSION

NEWEST = "latest"
FIELDS = ("version", "challenger")
Kind = Literal["latest", "pinned", "compare"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is wanted of the versions of a name.

    Attributes:
        version: Answers requests that name none, as the champion where there is a challenger; None
            is the newest.
        challenger: Scores the rows of those requests as well; its answers are only counted.
    """

    version: int | None = None
    challenger: int | None = None

    @classmethod
    def of(cls, version: object, challenger: object = None) -> Self:
        """A policy as a request or a file says it.

        Raises:
            ValueError: If it is none.
        """
        if version == NEWEST:
            if challenger is not None:
                raise ValueError("expected a challenger beside a version, got it beside 'latest'")
            return cls()
        champion = _number(version, f"a version number or {NEWEST!r}")
        if challenger is None:
            return cls(champion)
        other = _number(challenger, "a version number as challenger")
        if other == champion:
            raise ValueError(f"expected a challenger other than version {champion} itself")
        return cls(champion, other)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """A policy as a setting says it: ``latest``, ``3`` or ``3:4``.

        Raises:
            ValueError: If it is none.
        """
        champion, colon, challenger = text.partition(":")
        return cls.of(_read(champion), _read(challenger) if colon else None)

    @classmethod
    def of_document(cls, document: object) -> Self:
        """A policy as a JSON object says it.

        Raises:
            ValueError: If it is none.
        """
        if not isinstance(document, dict) or "version" not in document:
            raise ValueError("expected an object with 'version'")
        if unknown := sorted(set(document) - set(FIELDS)):
            raise ValueError(f"unknown field {unknown[0][:64]!r}; known: {', '.join(FIELDS)}")
        return cls.of(document["version"], document.get("challenger"))

    def document(self) -> dict[str, int | str]:
        """As a JSON object."""
        told: dict[str, int | str] = {"version": self.version or NEWEST}
        return told if self.challenger is None else told | {"challenger": self.challenger}

    @property
    def kind(self) -> Kind:
        """What it is called."""
        if self.version is None:
            return "latest"
        return "pinned" if self.challenger is None else "compare"


LATEST = Policy()


def _number(value: object, expected: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_VERSION:
        raise ValueError(f"expected {expected}, got {str(value)[:64]!r}")
    return value


def _read(text: str) -> int | str:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_VERSION))
    return int(text) if is_number else text
