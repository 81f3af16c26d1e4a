"""``logdet train``: fit a recipe to data and publish the bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logdet.options import out_option
from logdet.text import command_line

if TYPE_CHECKING:
    from training.checkpoint import FitState
    from training.energy import Target
    from training.recipes import Recipe
    from training.run import Run
    from training.table import Table

EXAMPLE = """\b
Examples:
  logdet train shuttle
  logdet train table --data measurements.csv --name pumps --set epochs=50
  logdet train table --data measurements.csv --set 'drop=[id, note]'
  logdet train vae --data images.npz --name faces --set posterior=planar --set prior=realnvp
  logdet train autoencoder --data measurements.csv --set latents=4
  logdet train reverse_kl --set energy=potential.py:ring --set 'features=[x, y]' --name ring
  logdet train shuttle --resume
"""


@click.command(epilog=EXAMPLE)
@click.argument("recipe")
@click.option("--data", type=click.Path(path_type=Path), help="Rows: .csv, .parquet or .npz.")
@click.option("--name", help="Name of the bundle; by default the recipe's, or the file's.")
@out_option
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint.")
@click.option("--restart", is_flag=True, help="Begin again although a run was interrupted.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where RUNS/NAME/checkpoint.pt is kept.",
)
def train(  # noqa: PLR0913  one parameter an option
    recipe: str,
    data: Path | None,
    name: str | None,
    root: Path,
    settings: tuple[str, ...],
    resume: bool,
    restart: bool,
    runs: Path,
) -> None:
    """Fit a recipe to data and publish the bundle.

    RECIPE is a shipped name (shuttle, digits, breast_cancer, digits_vae; for any file table, a
    flow, vae or autoencoder; for an energy and no file, reverse_kl) or a YAML file. The fit is
    followed by calibration, export, verification and publication. What --set family=, posterior=
    and prior= may name is what logdet families lists, and what a wrong name is answered with.
    """
    from logdet.errors import user_errors
    from logdet.published_view import show_published
    from logdet.training_view import (
        publishing,
        show_columns,
        show_next_version,
        show_target,
        training_progress,
        unit_of,
    )
    from training.checkpoint import load
    from training.recipes import read_recipe, resumed
    from training.run import CHECKPOINT_FILE, Run
    from training.table import Table

    with user_errors():
        chosen = _settled(read_recipe(recipe, settings), name, data)
        if resume:
            saved, _, _ = load(runs / chosen.name / CHECKPOINT_FILE)
            chosen = resumed(saved, chosen, settings)
        given, source = load_given(chosen, data)
        run = Run(chosen, given, source, command_line(), runs / chosen.name)
        state = _first_state(run, resume, restart)
        if isinstance(given, Table):
            show_columns(run.prepared, source)
        else:
            show_target(given)
        show_next_version(root, chosen.name)
        try:
            with training_progress(chosen) as report:
                state = run.fit(state, report)
            with publishing(chosen, state):
                published = run.publish(state, root)
        except KeyboardInterrupt:
            _explain_interruption(run.checkpoint, state, unit_of(chosen))
            raise
        show_published(published, run.checkpoint)


def load_given(
    recipe: Recipe, data: Path | None, moved: Path | None = None
) -> tuple[Table | Target, str]:
    """What a recipe is fitted to, its rows or its energy, and where that came from.

    Args:
        recipe: What to train.
        data: The file of rows that was given, if any.
        moved: The file of the energy, if not where the recipe says.

    Raises:
        ValueError: If there is no such thing, it cannot be used, or rows come with an energy.
    """
    from training.energy import read_target
    from training.recipes import EnergyFitConfig

    if not isinstance(recipe.fit, EnergyFitConfig):
        return _rows(recipe, data)
    if data is not None:
        raise ValueError(f"a recipe with an energy takes no rows, got --data {data}")
    target = read_target(recipe.fit, moved)
    return target, str(target.file)


def load_data(recipe: Recipe, data: Path | None) -> tuple[Table, str]:
    """The recipe's rows without the columns it drops, and where they came from.

    Raises:
        ValueError: If the recipe has no data of its own and none was given.
    """
    from logdet.files import read_table
    from training.datasets import load
    from training.table import Table

    if data is not None:
        file = read_table(data, drop=recipe.drop)
        return Table(data.stem, file.names, file.values, image=file.image), str(data.resolve())
    if recipe.data is None:
        raise ValueError(f"recipe {recipe.name} has no data of its own: add --data FILE")
    return load(recipe.data).without(recipe.drop), recipe.data


def _rows(recipe: Recipe, data: Path | None) -> tuple[Table, str]:
    from logdet.errors import TableError, TextError

    try:
        return load_data(recipe, data)
    except TextError as error:
        raise TableError(f"{error}; leave a column out with --set 'drop=[NAME]'") from error


def _first_state(run: Run, resume: bool, restart: bool) -> FitState:
    from logdet.training_view import unit_of
    from training.checkpoint import FitState

    if resume:
        return run.saved_state()
    done = 0 if restart else run.unfinished_epochs()
    if done:
        raise ValueError(
            f"{run.checkpoint} holds {done} {unit_of(run.recipe)}s of this run, interrupted: add "
            "--resume to go on, or --restart to begin again"
        )
    return FitState()


def _settled(recipe: Recipe, name: str | None, data: Path | None) -> Recipe:
    """With the bundle's name, and without the recipe's own data where a file takes its place."""
    if name is None and data is not None and recipe.data is None:
        name = re.sub(r"[^a-z0-9_-]+", "_", data.name.split(".")[0].lower()).strip("_-")[:64]
    changes = {} if name is None else {"name": name}
    own = recipe.data if data is None else None
    return type(recipe).model_validate(recipe.model_dump() | changes | {"data": own})


def _explain_interruption(checkpoint: Path, state: FitState, unit: str) -> None:
    if state.finished:
        click.echo(f"stopped before publishing; logdet export {checkpoint} does that", err=True)
    elif state.parameters or state.scores:  # a file alone may be an earlier run's
        held = "the last whole epoch" if unit == "epoch" else f"{state.step} {unit}s"
        click.echo(f"stopped; {checkpoint} holds {held}: --resume goes on", err=True)
    else:
        click.echo(f"stopped before the first {unit} was done; nothing was kept", err=True)
