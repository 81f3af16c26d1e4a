"""What is wrong with a recipe, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from training.recipes.config import FitConfig, ModelConfig, Recipe
from training.recipes.energy import EnergyFitConfig

_FAMILIES: dict[str, type[BaseModel]] = {
    name: family
    for family in get_args(ModelConfig)
    for name in get_args(family.model_fields["family"].annotation)
}
# By the name that tells them apart.
_FITS: dict[str, type[BaseModel]] = {"rows": FitConfig, "reverse_kl": EnergyFitConfig}
Place = Sequence[str | int]


def refusal(error: ValidationError) -> str:
    """The first problem, without the words and the places that are the validator's own."""
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return f"recipe: {_unknown_setting(first['loc'])}"
    where = ".".join(str(part) for part in _as_written(first["loc"]))
    return f"recipe: {where}: {_problem(first)}"


def _problem(first: ErrorDetails) -> str:
    context, got = first.get("ctx", {}), f", got {first['input']!r}"
    match first["type"]:
        case "missing":
            return first["msg"]
        case "union_tag_invalid":
            return (
                f"no family {context['tag']!r}; there are: {_unquoted(context['expected_tags'])}"
            )
        case "union_tag_not_found":
            return f"expected a family{got}"
        case "literal_error":
            return f"expected one of {_unquoted(context['expected'])}{got}"
        case "value_error":
            # A section that is refused as a whole is not repeated.
            return f"{context['error']}{'' if isinstance(first['input'], dict) else got}"
    return f"{first['msg']}{got}"


def _unknown_setting(place: Place) -> str:
    *section, setting = place
    owner = str(section[-1]) if section else ""
    owners = _FAMILIES | _FITS
    if owner not in owners:
        return f"no setting {setting!r}; there are: {', '.join(Recipe.model_fields)}"
    called = "fit" if owner in _FITS else f"family {owner}"
    known = [name for name in owners[owner].model_fields if name != "family"]
    return f"{called} has no setting {setting!r}; it has: {', '.join(known)}"


def _as_written(place: Place) -> list[str | int]:
    """The place without families and kinds of fit, which choose among settings, contain none."""
    return [
        part
        for part, parent in zip(place, ("", *place), strict=False)
        if not (part in _FAMILIES and (parent == "model" or isinstance(parent, int)))
        and not (part in _FITS and parent == "fit")
    ]


def _unquoted(names: str) -> str:
    return names.replace(" or ", ", ").replace("'", "")
