"""``logdet pull``: bring a bundle from object storage."""

from __future__ import annotations

from pathlib import Path

import click

from logdet.options import Reference, elsewhere_argument, model_argument, out_option

EXAMPLE = """\b
Examples:
  logdet pull shuttle s3://bucket/bundles
  logdet pull shuttle/1 gs://bucket/bundles --out /srv/bundles
"""


@click.command(epilog=EXAMPLE, short_help="Bring a bundle from object storage.")
@model_argument
@elsewhere_argument
@out_option
def pull(model: Reference, address: str, root: Path) -> None:
    """Bring a bundle, the newest version if none is named, from ADDRESS to this machine.

    Nothing is here unless every file is as the manifest says. Credentials come from the
    environment.
    """
    from logdet.errors import user_errors
    from service.storage import transfer

    with user_errors():
        folder = transfer.pull(address, model.name, model.version, root)
    click.echo(f"{model.name}/{folder.name} is in {folder}")
