"""What an estimator asks of ``training``: a recipe, a fit of it to rows, a bundle of the fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from exported.artifact import NAME_PATTERN
from exported.base import base_noise
from training.checkpoint import FitState
from training.chunks import rows_at_once
from training.describe import Trained
from training.evaluate import full_flow, served_log_prob
from training.families import fresh_flow
from training.fit import fit
from training.flow import Flow
from training.objectives import objective_of
from training.prepared import Prepared, described
from training.publish import publish
from training.recipes import Recipe, read_recipe
from training.runner import decoded
from training.steps import solved
from training.table import Examples, Rows, Table, split

# Decimals of a log-density, nats. The last bits of a row's depend on the rows beside it, and a row
# that set the threshold has to stay on the same side of it whatever it is scored with.
DECIMALS = 9
# Settings of a recipe that an estimator is told in another way.
_ELSEWHERE = {
    "data": "fit takes X",
    "name": "publish takes it",
    "trim": "rows are trimmed by logdet train alone",
}


@dataclass(frozen=True, slots=True)
class Data:
    """Rows that a recipe may be fitted to.

    Attributes:
        recipe: The recipe.
        prepared: The rows, divided and described.
        sha256: Of the rows and the names of their columns.
    """

    recipe: Recipe
    prepared: Prepared
    sha256: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """A finished fit.

    Attributes:
        data: What was fitted, and to what.
        density: On raw modelled columns, float64.
        state: Where the fit ended, without the tensors.
    """

    data: Data
    density: Flow
    state: FitState

    def log_prob(self, rows: Rows) -> Rows:
        """Log-density of ``(rows, features)`` in nats, shape ``(rows,)``; -inf out of support."""
        scores = served_log_prob(solved(self.density), self.data.prepared, _plain(rows))
        return scores.round(DECIMALS)

    def calibration_scores(self) -> Rows:
        """Log-density of the rows that neither moved nor chose the parameters."""
        return self.log_prob(self.data.prepared.split.calibration.rows)

    def sample(self, rows: int, seed: int) -> Rows:
        """Rows drawn from the density, shape ``(rows, features)``.

        They are those that the service draws with the same seed, but for its float32.
        """
        density, columns = solved(self.density), self.data.prepared.columns
        features = len(columns.modelled)
        base, step = density.base.describe(features), rows_at_once(features)
        parts = [
            decoded(
                density,
                self.data.prepared,
                {"z": base_noise(base, seed, start, min(step, rows - start))},
            )["x"]
            for start in range(0, rows, step)
        ]
        return columns.emitted(np.concatenate(parts))

    def publish(self, root: Path, name: str, command: str) -> Path:
        """Write the next version of a name under a root; see :func:`training.publish.publish`.

        Raises:
            ValueError: If the name is no bundle's, or the graphs are not exact enough.
        """
        trained = Trained(
            recipe=_named(self.data.recipe, name),
            prepared=self.data.prepared,
            data_name="X",
            data_sha256=self.data.sha256,
            seconds=self.state.seconds,
            command=command,
            density=self.density,
        )
        return publish(trained, root)[0]


def read(name: str, settings: Mapping[str, object]) -> Recipe:
    """A recipe with settings, of a density that rows alone decide.

    Args:
        name: A shipped recipe's name, or a path to a YAML file.
        settings: As ``logdet train --set`` takes them.

    Raises:
        ValueError: If there is no such recipe or setting, or it makes no such density.
    """
    for setting, where in _ELSEWHERE.items():
        if setting in settings:
            raise ValueError(f"expected no {setting} among the settings, as {where}")
    recipe = read_recipe(
        name,
        [
            f"{key}={json.dumps(value, default=_native, ensure_ascii=False)}"
            for key, value in settings.items()
        ],
    )
    try:
        recipe.flow()
        recipe.rows_fit()
    except TypeError as error:
        raise ValueError(f"recipe {recipe.name}: {error}") from error
    for setting in ("context", "drop"):
        if getattr(recipe, setting):
            raise ValueError(
                f"recipe {recipe.name}: expected no {setting}, as every column of X is modelled"
            )
    if recipe.trim:
        raise ValueError(f"recipe {recipe.name}: expected no trim, as {_ELSEWHERE['trim']}")
    return recipe.model_copy(update={"data": None})


def divided(recipe: Recipe, names: tuple[str, ...], rows: Rows, fewest: int) -> Data:
    """Rows as ``training`` divides and describes them.

    Args:
        recipe: From :func:`read`.
        names: Of the columns, each once.
        rows: Shape ``(rows, columns)``, finite.
        fewest: See :func:`training.table.split`.

    Raises:
        ValueError: If they do not suit the recipe.
    """
    table = Table("X", names, rows)
    parts = split(table, recipe.seed, fewest=fewest)
    return Data(recipe, described(recipe, names, parts), table.sha256())


def trained(data: Data) -> Fitted:
    """The fit of a recipe to its rows.

    Raises:
        ValueError: If the likelihood diverges.
    """
    recipe, prepared = data.recipe, data.prepared
    with _own_threads():
        flow = fresh_flow(recipe, prepared.sizes)
        how = recipe.rows_fit(), objective_of(recipe.flow())
        state = fit(flow, prepared, how, FitState(), lambda _: None, lambda _: None)
    ended = FitState(epoch=state.epoch, seconds=state.seconds, best_epoch=state.best_epoch)
    return Fitted(data, full_flow(flow, prepared), ended)


@contextmanager
def _own_threads() -> Iterator[None]:
    """Give torch the threads back that it had: the process is the caller's."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _plain(rows: Rows) -> Examples:
    return Examples(rows, np.empty((len(rows), 0)))


def _native(value: object) -> object:
    """Numpy's numbers, of which searches make their grids, and sets, as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise ValueError(f"expected a setting of numbers and text, got {value!r}")


def _named(recipe: Recipe, name: str) -> Recipe:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(
            "expected the name of a bundle, up to 64 of a-z, 0-9, _ and - with a letter or digit "
            f"first, got {name!r}"
        )
    return recipe.model_copy(update={"name": name})
