"""Expectations as typed, taken from a model in this process, and as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exported.manifest import Feature
from logdet.errors import UserError
from logdet.frame import MAX_CELLS
from logdet.scoring import in_chunks
from service.expectation import Expected, Questions
from service.model import Model
from service.questions import Reader
from service.results import Codes, Floats

Entry = dict[str, Any]
_ERROR_DIGITS = 2  # of a standard error that are shown; the value ends where they end
_EXACT_DIGITS = 12  # of a value without an error


def quantile(text: str) -> Entry:
    """``F=Q`` as an entry of the operation's ``of``.

    Raises:
        UserError: If Q is no number.
    """
    feature, _, q = text.rpartition("=")
    return {"quantile": feature, "q": _number(q, text, "FEATURE=Q")}


def probability(text: str) -> Entry:
    """``F=LOW:HIGH,...`` as an entry; an end left out is open.

    Raises:
        UserError: If a part is not of that form.
    """
    form = "FEATURE=LOW:HIGH,..."
    box: dict[str, list[float | None]] = {}
    for part in text.split(","):
        feature, equals, interval = part.rpartition("=")
        low, colon, high = interval.partition(":")
        if not equals or not colon or feature.strip() in box:
            raise UserError(f"expected {form} with each feature once, got {text!r}")
        box[feature.strip()] = [_number(end, text, form) if end else None for end in (low, high)]
    return {"probability": box}


def questions(entries: Sequence[Entry], features: Sequence[Feature]) -> Questions:
    """The questions of entries, of any number.

    Raises:
        ServiceError: Naming what does not fit the features.
    """
    reader = Reader({feature.name: index for index, feature in enumerate(features)})
    return Questions(tuple(reader.read(entry, f"--{next(iter(entry))}") for entry in entries))


def expect(
    model: Model,
    asked: Questions,
    draw: tuple[int, int],
    context: NDArray[np.float64] | None,
    steps: int | None,
) -> Expected:
    """Estimates from as many rows of a seed as ``draw`` says, in that order.

    Raises:
        ServiceError: If the context or the steps are not the model's.
        UserError: If what is kept of so many rows would not fit.
    """
    rows, seed = draw
    if rows * len(asked.asked) > MAX_CELLS:
        raise UserError(f"expected at most {MAX_CELLS:,} numbers, got {rows:,} rows; draw fewer")
    given = model.conditioning.single(context)

    def run(start: int, stop: int) -> tuple[Floats, NDArray[np.bool_], Codes]:
        drawn = model.sample(stop - start, seed, first_row=start, context=given, steps=steps).rows
        kept = asked.keep(drawn.x)
        return kept.values, kept.inside, drawn.status

    values, inside, status = zip(*in_chunks(model, rows, run), strict=True)
    arrays = (np.concatenate(values), np.concatenate(inside), np.concatenate(status))
    return Expected.of(asked, seed, *arrays)


def answered(entries: Sequence[Entry], expected: Expected) -> list[Entry]:
    """The entries with their answers, as the service writes them; null for NaN."""
    return [
        entry | {"value": _or_null(e.value), "standard_error": _or_null(e.standard_error)}
        for entry, e in zip(entries, expected.estimates, strict=True)
    ]


def rows(
    entries: Sequence[Entry], expected: Expected, features: Sequence[Feature]
) -> list[tuple[str, str, str]]:
    """A line for each entry: what it is, its value with the standard error, the unit."""
    units = {feature.name: feature.unit or "" for feature in features}
    return [
        (_described(entry), _measured(e.value, e.standard_error), _unit(entry, units))
        for entry, e in zip(entries, expected.estimates, strict=True)
    ]


def _number(text: str, whole: str, form: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"expected {form} with finite numbers, got {whole!r}")
    return number


def _described(entry: Entry) -> str:
    match entry:
        case {"quantile": feature, "q": q}:
            return f"{q:g} quantile of {feature}"
        case {"probability": dict(box)}:
            return f"P({', '.join(_between(f, *ends) for f, ends in box.items())})"
    kind, feature = next(iter(entry.items()))
    return f"{kind} of {feature}"


def _between(feature: str, low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{feature} = {low:g}" if low == high else f"{low:g} ≤ {feature} ≤ {high:g}"
    ends = [f" ≥ {low:g}" if low is not None else "", f" ≤ {high:g}" if high is not None else ""]
    return feature + "".join(ends)


def _unit(entry: Entry, units: Mapping[str, str]) -> str:
    if "probability" in entry:
        return ""
    unit = units[next(iter(entry.values()))]
    return f"({unit})²" if unit and "variance" in entry else unit


def _measured(value: float, error: float) -> str:
    """A value to the digits that its error leaves meaning to."""
    if math.isnan(value):
        return "unknown: no row is ok"
    if math.isnan(error):
        return f"{value:.{_EXACT_DIGITS}g} ± unknown: too few rows"
    if error == 0.0:
        return f"{value:.{_EXACT_DIGITS}g} ± 0"
    decimals = _ERROR_DIGITS - 1 - math.floor(math.log10(error))
    if 0 <= decimals <= _EXACT_DIGITS:
        return f"{value:.{decimals}f} ± {error:.{decimals}f}"
    return f"{value:.{_EXACT_DIGITS}g} ± {error:.{_ERROR_DIGITS}g}"


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
