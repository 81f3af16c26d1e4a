"""``logdet models``: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from logdet.options import bundles_option

if TYPE_CHECKING:
    from exported.accuracy import HeldOut
    from exported.bounds import HeldOutBound, HeldOutError
    from exported.kinds import AnyManifest
    from exported.manifest import Manifest

EXAMPLE = """\b
Examples:
  logdet models
  logdet models --bundles /srv/bundles
"""
MAX_CONTEXT = 3  # names of context columns shown
HEADER = (
    "name",
    "versions",
    "family",
    "features",
    "density",
    "held-out nats",
    "calibration rows",
    "size",
)


@click.command(epilog=EXAMPLE, short_help="List the bundles.")
@bundles_option
def models(bundles: Path) -> None:
    """List the bundles; numbers are those of the newest version. Digests are checked by verify."""
    from exported.bundle import names, read_manifest, versions
    from exported.errors import BundleError
    from logdet.errors import UserError
    from logdet.text import aligned

    table: list[tuple[str, ...]] = [HEADER]
    refused = []
    for name in names(bundles):
        known = versions(bundles, name)
        try:
            table.append(_row(known, read_manifest(bundles / name / str(known[-1]))))
        except BundleError as error:
            refused.append(f"{name}/{known[-1]} is refused: {error}")
    if len(table) == 1 and not refused:
        raise UserError(f"there are no bundles under {bundles}; logdet train makes one")
    click.echo(aligned(table))
    for line in refused:
        click.echo(line, err=True)


def _row(known: list[int], manifest: AnyManifest) -> tuple[str, ...]:
    from logdet.text import size

    return (
        manifest.name,
        ",".join(map(str, known)),
        manifest.family,
        _features(manifest),
        manifest.density,
        _nats(manifest.held_out),
        f"{manifest.calibration.rows:,}",
        size(sum(entry.size_bytes for entry in manifest.files())),
    )


def _nats(held_out: HeldOut | HeldOutBound | HeldOutError) -> str:
    """Of a density or a lower bound on it; an autoencoder has neither."""
    from exported.accuracy import HeldOut
    from exported.bounds import HeldOutBound

    match held_out:
        case HeldOut():
            return f"{held_out.log_likelihood:.3f} ± {held_out.standard_error:.3f}"
        case HeldOutBound():
            return f"≥ {held_out.importance_bound:.3f} ± {held_out.standard_error:.3f}"
    return "none"


def _features(manifest: Manifest) -> str:
    from logdet.text import some

    given = [feature.name for feature in manifest.context_features]
    count = str(len(manifest.features))
    return f"{count} given {some(given, MAX_CONTEXT)}" if given else count
