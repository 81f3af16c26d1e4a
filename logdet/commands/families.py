"""``logdet families``: what can be trained."""

from __future__ import annotations

import click

EXAMPLE = """\b
Example:
  logdet families
"""


@click.command(epilog=EXAMPLE)
def families() -> None:
    """List the families of flows that recipes can name."""
    from logdet.text import aligned
    from training.recipes import FAMILIES

    click.echo(aligned([("family", "what it is"), *FAMILIES.items()]))
