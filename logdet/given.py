"""The context of a conditional density as typed: ``NAME=VALUE,...``, or a file of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported.manifest import Manifest
from logdet.cells import to_float64
from logdet.errors import UserError
from logdet.files import read_frame
from logdet.frame import require
from logdet.text import some


def read_context(text: str, manifest: Manifest) -> NDArray[np.float64]:
    """Context rows of shape ``(rows, context_features)``; missing values are NaN.

    Args:
        text: The name of a file that there is, else ``NAME=VALUE`` once for each context feature,
            between commas.
        manifest: Of the model.

    Raises:
        UserError: If the model has no context, or something is lacking or no number.
    """
    names = [feature.name for feature in manifest.context_features]
    if not names:
        raise UserError(f"expected no --context, as {manifest.name} has no context features")
    path = Path(text)
    if path.is_file() or "=" not in text:
        frame = read_frame(path)
        require(frame, names, manifest.name)
        return to_float64(frame, names, "nan")
    given = _pairs(text)
    if set(given) != set(names):
        raise UserError(
            f"expected --context to name {some(names)} once each, got {some(list(given))}"
        )
    return np.array([[given[name] for name in names]])


def _pairs(text: str) -> dict[str, float]:
    pairs: dict[str, float] = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        try:
            number = float(value)
        except ValueError:
            equals = ""
        if not equals or name.strip() in pairs:
            raise UserError(
                f"expected --context as NAME=NUMBER,... or the name of a file, got {pair!r}"
            )
        pairs[name.strip()] = number
    return pairs
