"""What a call brings beside its messages."""

from __future__ import annotations

from typing import Any


def authorization(metadata: Any) -> str | None:  # noqa: ANN401 - pairs, of several types of grpc's
    """The credentials that a call shows; None for none."""
    return text(metadata, "authorization")


def text(metadata: Any, name: str) -> str | None:  # noqa: ANN401 - pairs, as above
    """The first value of a name, if there is one and it is text."""
    found = (value for key, value in metadata or () if key == name)
    return next((value for value in found if isinstance(value, str)), None)
