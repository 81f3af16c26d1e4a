"""Recipes from YAML, with single settings overridden from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from training.recipes.config import FitConfig, ModelConfig, Recipe
from training.recipes.energy import EnergyFitConfig
from training.recipes.refusal import refusal

_FOLDER = Path(__file__).parent
_OF_MODELS = {field for family in get_args(ModelConfig) for field in family.model_fields}
# Fields of the fit that an interrupted run may go on with changed.
RESUMABLE = ("epochs", "patience", "max_seconds", "clock", "threads")


def shipped_recipes() -> dict[str, Path]:
    """Recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def read_recipe(name_or_path: str, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` settings.

    Args:
        name_or_path: A shipped recipe's name, or a path to a YAML file.
        settings: Such as ``fit.epochs=5``, or ``epochs=5`` where the field is unique.

    Raises:
        ValueError: With one sentence saying what was expected and what was got.
    """
    path = shipped_recipes().get(name_or_path, Path(name_or_path))
    if not path.is_file():
        known = ", ".join(shipped_recipes())
        raise ValueError(f"no recipe {name_or_path!r}; give a YAML file or one of: {known}")
    document = _parse(path.read_text(), str(name_or_path))
    if not isinstance(document, dict):
        got = type(document).__name__
        raise ValueError(f"{name_or_path}: expected a mapping of settings, got {got}")  # noqa: TRY004
    for setting in settings:
        _apply(document, setting)
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise ValueError(refusal(error)) from error


def resumed(saved: Recipe, asked: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe of an interrupted run, with what may be changed on the way.

    Args:
        saved: The run's own.
        asked: What the command line amounts to.
        settings: Those of its settings that were typed.

    Raises:
        ValueError: If a setting would make the finished run one that no recipe describes.
    """
    kinds = [type(recipe.fit) is EnergyFitConfig for recipe in (saved, asked)]
    if kinds[0] != kinds[1]:
        was, now = ("an energy" if kind else "rows" for kind in kinds)
        raise ValueError(
            f"--resume goes on with a fit to {was}, got a recipe that is fitted to {now}"
        )
    changed = {}
    for setting in settings:
        section, field = _place(setting.partition("=")[0], type(saved.fit))
        before, after = (getattr(recipe, section) for recipe in (saved, asked))
        allowed = [name for name in RESUMABLE if name in type(saved.fit).model_fields]
        if field:
            before, after = getattr(before, field, None), getattr(after, field)
        if before == after:
            continue
        if section != "fit" or field not in allowed:
            raise ValueError(
                "--resume goes on with the run's own settings and only "
                f"{', '.join(allowed)} may change, got {setting}"
            )
        changed[field] = after
    return saved.model_copy(update={"fit": saved.fit.model_copy(update=changed)})


def _parse(text: str, what: str) -> Any:  # noqa: ANN401
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = str(error).replace("\n", " ")
        raise ValueError(f"{what}: not valid YAML: {problem}") from error


def _apply(document: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ValueError(f"expected --set KEY=VALUE, got {setting!r}")
    value = _parse(text, f"--set {key}")
    section, field = _place(key, _fit_of(document))
    if field:
        document[section] = {**(document.get(section) or {}), field: value}
    else:
        document[section] = value


def _fit_of(document: dict[str, Any]) -> type[FitConfig | EnergyFitConfig]:
    fit = document.get("fit")
    return EnergyFitConfig if isinstance(fit, dict) and "objective" in fit else FitConfig


def _place(key: str, fit: type[FitConfig | EnergyFitConfig]) -> tuple[str, str]:
    """Section and field of a setting's key; the field of a whole section is empty.

    Fields of model and fit may be set without naming the section: ``--set epochs=5``. Of those
    that both have, the fit's are meant: no model with one of these is fitted to an energy but
    ``cnf``, whose objective does not count then.
    """
    section, dot, field = key.partition(".")
    if dot or section in Recipe.model_fields:
        return section, field
    for owner, fields in (("fit", set(fit.model_fields)), ("model", _OF_MODELS)):
        if section in fields:
            return owner, section
    known = {*Recipe.model_fields, *fit.model_fields, *_OF_MODELS}
    raise ValueError(f"no setting {key!r}; there are: {', '.join(sorted(known))}")
