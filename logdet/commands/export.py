"""``logdet export``: publish a checkpoint again, without training."""

from __future__ import annotations

from pathlib import Path

import click

from logdet.options import out_option

EXAMPLE = """\b
Examples:
  logdet export runs/shuttle/checkpoint.pt
  logdet export runs/pumps/checkpoint.pt --data moved/measurements.csv
"""


@click.command(epilog=EXAMPLE)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The rows, or the file of the energy, if they have moved.",
)
@out_option
def export(checkpoint: Path, data: Path | None, root: Path) -> None:
    """Publish a checkpoint again, without training.

    The best parameters of CHECKPOINT are calibrated and measured afresh on the run's own data, or
    where there was an energy in place of data on draws of the flow.
    """
    from logdet.commands.train import load_given
    from logdet.errors import user_errors
    from logdet.published_view import show_published
    from logdet.training_view import publishing, show_next_version
    from training.checkpoint import load
    from training.recipes import EnergyFitConfig
    from training.run import Run

    with user_errors():
        recipe, origin, _ = load(checkpoint)
        if data is None and recipe.data is None:
            data = Path(origin.source)
        by_energy = isinstance(recipe.fit, EnergyFitConfig)
        if data is not None and not data.is_file():
            lost = "energy of this run is" if by_energy else "rows of this run are"
            raise ValueError(f"the {lost} not at {data}: say where with --data FILE")
        rows, energy = (None, data) if by_energy else (data, None)
        given, source = load_given(recipe, rows, energy)
        run = Run(recipe, given, source, origin.command, checkpoint.parent)
        state = run.saved_state(checkpoint)
        show_next_version(root, recipe.name)
        with publishing(recipe, state):
            published = run.publish(state, root)
        show_published(published, checkpoint)
