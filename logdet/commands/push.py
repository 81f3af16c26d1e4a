"""``logdet push``: publish a bundle in object storage."""

from __future__ import annotations

from pathlib import Path

import click

from logdet.options import Reference, bundles_option, elsewhere_argument, find, model_argument

EXAMPLE = """\b
Examples:
  logdet push shuttle s3://bucket/bundles
  logdet push shuttle/1 gs://bucket/bundles --bundles /srv/bundles
"""


@click.command(epilog=EXAMPLE, short_help="Publish a bundle in object storage.")
@model_argument
@elsewhere_argument
@bundles_option
def push(model: Reference, address: str, bundles: Path) -> None:
    """Publish a bundle at ADDRESS, where `logdet serve --bundles ADDRESS` finds it.

    Every digest is checked first. The manifest goes last, so that a service that follows the
    address takes the bundle whole; a version that is there already is refused. Credentials come
    from the environment.
    """
    from logdet.errors import user_errors
    from service.storage import transfer

    with user_errors():
        click.echo(f"published {transfer.push(find(bundles, model), address)}")
