"""What a call brings beside its messages."""

from __future__ import annotations

from typing import Any


def authorization(metadata: Any) -> str | None:  # noqa: ANN401 - pairs, of several types of grpc's
    """The credentials that a call shows; None for none."""
    shown = (value for key, value in metadata or () if key == "authorization")
    return next((value for value in shown if isinstance(value, str)), None)
