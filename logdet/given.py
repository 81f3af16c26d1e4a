"""The context of a conditional density as typed: ``NAME=VALUE,...``, or a file of rows."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from exported.manifest import Feature, Manifest
from logdet.cells import to_float64
from logdet.errors import UserError
from logdet.files import read_frame
from logdet.frame import require
from logdet.text import some
from service.context import Conditioning
from service.model import Model
from service.results import OK
from service.status import RowRules

_SHOWN = 4  # features in a message


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


def fit_context(text: str, model: Model) -> NDArray[np.float64]:
    """Context rows as :func:`read_context` reads them; tells on standard error what is far off.

    Raises:
        UserError: If the context cannot be read, or a row of it cannot be run.
    """
    context = read_context(text, model.manifest)
    refuse_unfit(context, model.conditioning)
    told = extrapolated(context, model.manifest)
    if told is not None:
        click.echo(f"logdet: {told}", err=True)
    return context


def refuse_given(manifest: Manifest, context: str | None, steps: int | None) -> None:
    """Refuse what only flows take, of a model of another kind.

    Raises:
        UserError: If there is a context or a number of steps.
    """
    if context is not None:
        read_context(context, manifest)  # which no such model has
    if steps is not None:
        raise UserError(f"expected no --steps, as {manifest.name} has no solver, got {steps}")


def refuse_unfit(context: NDArray[np.float64], conditioning: Conditioning) -> None:
    """Refuse context rows that cannot be run.

    Args:
        context: Shape ``(rows, context_features)``.
        conditioning: Of the model.

    Raises:
        UserError: Naming the first value that does not fit.
    """
    rules = conditioning.rules
    unfit = np.flatnonzero(rules.judge(context) != OK)
    if not len(unfit):
        return
    row = context[unfit[0]]
    # Each value among others that fit: the first that does not fit even so is named.
    alone = np.where(np.eye(len(row), dtype=np.bool_), row, rules.median)
    at = int(np.flatnonzero(rules.judge(alone) != OK)[0])
    where = "" if len(context) == 1 else f" in row {unfit[0] + 1:,} of {len(context):,}"
    raise UserError(
        f"expected a --context with {conditioning.names[at]} as {_fit(rules, at, row[at])}, "
        f"got {row[at]:.12g}{where}"
    )


def _fit(rules: RowRules, at: int, value: float) -> str:
    if not np.isfinite(value):
        return "a finite number"
    if rules.integer[at] and value != np.floor(value):
        return "a whole number"
    return f"a number from {rules.low[at]:.12g} to {rules.high[at]:.12g}, its support"


def extrapolated(context: NDArray[np.float64], manifest: Manifest) -> str | None:
    """A sentence about context values that training did not reach; None if there are none.

    Args:
        context: Shape ``(rows, context_features)``.
        manifest: Of the model.
    """
    columns = zip(manifest.context_features, context.T, strict=True)
    outside = [text for feature, values in columns if (text := _outside(feature, values))]
    if not outside:
        return None
    return f"{some(outside, _SHOWN)}; the density there is an extrapolation"


def _outside(feature: Feature, values: NDArray[np.float64]) -> str | None:
    low, high = feature.training_range
    far = values[(values < low) | (values > high)]
    if not len(far):
        return None
    rows = "" if len(far) == 1 else f" (one of {len(far):,} such rows)"
    return (
        f"{feature.name} = {far[0]:.12g}{rows} is outside of the training range "
        f"{low:.12g} to {high:.12g}"
    )


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
