"""``logdet families``: what can be trained."""

from __future__ import annotations

import click

EXAMPLE = """\b
Example:
  logdet families
"""


@click.command(epilog=EXAMPLE, short_help="What can be trained.")
def families() -> None:
    """List the families that recipes can name: of flows, and below them of autoencoders."""
    from logdet.text import aligned
    from training.recipes import AUTOENCODERS, FAMILIES

    click.echo(aligned([("family", "what it is"), *FAMILIES.items()]))
    click.echo()
    click.echo(aligned([("autoencoder", "what it is"), *AUTOENCODERS.items()]))
