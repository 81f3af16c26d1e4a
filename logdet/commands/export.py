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
@click.option("--data", type=click.Path(path_type=Path), help="The rows, if they have moved.")
@out_option
def export(checkpoint: Path, data: Path | None, root: Path) -> None:
    """Publish a checkpoint again, without training.

    The best parameters of CHECKPOINT are calibrated and measured afresh on the run's own data.
    """
    from logdet.commands.train import load_data
    from logdet.errors import user_errors
    from logdet.published_view import show_published
    from logdet.training_view import publishing, show_next_version
    from training.checkpoint import load
    from training.run import Run

    with user_errors():
        recipe, origin, _ = load(checkpoint)
        if data is None and recipe.data is None:
            data = Path(origin.source)
        if data is not None and not data.is_file():
            raise ValueError(f"the rows of this run are not at {data}: say where with --data FILE")
        table, source = load_data(recipe, data)
        run = Run(recipe, table, source, origin.command, checkpoint.parent)
        state = run.saved_state(checkpoint)
        show_next_version(root, recipe.name)
        with publishing(state.epoch, state.best_epoch):
            published = run.publish(state, root)
        show_published(published, checkpoint)
